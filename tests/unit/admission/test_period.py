"""Periods of usage: what is read, what is refused, months against the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admission.usage.period import (
    DAY_S,
    HOUR_S,
    Group,
    Period,
    begin_of,
    check_months,
    day_name,
    moment,
    read_period,
)
from control_plane.errors import InvalidParameter

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC).timestamp()
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(9998, 12, 31), timezones=st.just(UTC)
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (None, None, "2026-11-01", "2026-12-01"),
        ("2026-10", None, "2026-10-01", "2026-12-01"),
        (None, "2026-11-02", "2026-11-01", "2026-11-02"),
        ("2026-11-23T13Z", "2026-11-23T14:00Z", "2026-11-23T13:00", "2026-11-23T14:00"),
        ("2026-11-23T13:00:00Z", "2026-11-24", "2026-11-23T13:00", "2026-11-24"),
        ("2024-02-29", "2024-03", "2024-02-29", "2024-03-01"),
        ("1970-01", "1970-02", "1970-01-01", "1970-02-01"),
        ("2025-11-01", "2026-12-06", "2025-11-01", "2026-12-06"),
    ],
)
def test_a_period_is_read(start: str | None, end: str | None, first: str, last: str) -> None:
    assert read_period(start, end, NOW) == Period(at(first), at(last))


@pytest.mark.parametrize(
    ("start", "end", "parameter"),
    [
        ("", None, "from"),
        ("2026", None, "from"),
        ("2026-13", None, "from"),
        ("2026-00", None, "from"),
        ("2025-02-29", None, "from"),
        ("2026-11-23T24Z", None, "from"),
        ("2026-11-23T13:30Z", None, "from"),
        ("2026-11-23T13", None, "from"),
        ("2026-11-23T13:00:00+01:00", None, "from"),
        ("\u0662\u0660\u0662\u0666-11", None, "from"),
        ("2026-11\n", None, "from"),
        ("0000-01", None, "from"),
        ("1969-12", None, "from"),
        (None, "9999-12", "to"),
        (None, "2026-11-01", "to"),
        (None, "2026-10", "to"),
        ("2026-12", None, "to"),
        ("2025-11-01", "2026-12-07", "from"),
        ("1970-01", None, "from"),
    ],
)
def test_what_is_none_is_refused(start: str | None, end: str | None, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_period(start, end, NOW)
    assert caught.value.details["parameter"] == parameter


@given(MOMENTS, st.sampled_from(Group))
def test_begins_are_those_of_the_calendar(when: datetime, group: Group) -> None:
    expected = when.replace(minute=0, second=0, microsecond=0)
    if group is not Group.HOUR:
        expected = expected.replace(hour=0)
    if group is Group.MONTH:
        expected = expected.replace(day=1)
    second = int(when.timestamp())
    assert begin_of(group, second) == expected.timestamp()
    assert moment(begin_of(group, second)) == expected.isoformat().replace("+00:00", "Z")
    assert day_name(second) == f"{when.year:04d}{when.month:02d}{when.day:02d}"


@given(MOMENTS, st.integers(1, 400 * 24), st.integers(-50, 400 * 24))
def test_days_are_all_that_it_touches(when: datetime, hours: int, skipped: int) -> None:
    start = int(when.timestamp()) // HOUR_S * HOUR_S
    period = Period(start, start + hours * HOUR_S)
    since = max(0, start + skipped * HOUR_S)
    touched = {second // DAY_S * DAY_S for second in range(period.start, period.end, HOUR_S)}
    assert period.days() == sorted(touched)
    assert period.days(since) == [day for day in sorted(touched) if day + DAY_S > since]


def test_only_whole_months_are_months() -> None:
    check_months(Period(at("2026-11-01"), at("2027-01-01")))
    for hours in (-1, 1):
        shift = timedelta(hours=hours).seconds
        with pytest.raises(InvalidParameter):
            check_months(Period(at("2026-11-01") + shift, at("2027-01-01")))
        with pytest.raises(InvalidParameter):
            check_months(Period(at("2026-11-01"), at("2027-01-01") + shift))
