"""The audit finds each way in which the promise can be broken, and plans follow from their seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from msgspec import structs

from tests.chaos.audit import findings, numbers
from tests.chaos.defences import DEFENCES, Defence
from tests.chaos.plan import Aim, Errand, Kind, blows, errands
from tests.chaos.seen import Event, Sample, Seen
from tests.stack import CHECKOUT

JOB = "job_1"
DONE = Sample("completed", 100, 7, "2026-01-01T00:00:00Z", {"prediction": 85.0}, 1)


def errand(kind: Kind = Kind.PLAIN) -> Errand:
    return Errand(number=42, tenant="aurora", kind=kind, impatient_s=0, ms=0)


def good(kind: Kind = Kind.PLAIN, last: Sample = DONE) -> Seen:
    """A run of one job in which the promise was kept."""
    seen = Seen()
    seen.jobs[JOB] = errand(kind)
    seen.listed = {JOB}
    seen.samples[JOB] = [Sample("pending", 0, -1, None, None, 0), last]
    seen.at_the_end[JOB] = last
    seen.again[JOB] = last
    seen.events = [Event("msg_1", f"job.{last.state}", JOB)] * 2
    seen.stale = {"finish, it has ended": [3, 0]}
    return seen


def test_a_kept_promise_is_found_so() -> None:
    assert findings(good()) == {}


@pytest.mark.parametrize(
    ("kind", "state"),
    [(Kind.SPOILT, "failed"), (Kind.EXPIRING, "expired"), (Kind.CANCELED, "canceled")],
)
def test_other_ends_are_right_where_they_are_meant(kind: Kind, state: str) -> None:
    assert findings(good(kind, structs.replace(DONE, state=state))) == {}
    assert findings(good(Kind.PLAIN, structs.replace(DONE, state=state))).keys() == {"wrong end"}


def _lose(seen: Seen) -> None:
    del seen.at_the_end[JOB]


def _open(seen: Seen) -> None:
    seen.at_the_end[JOB] = seen.again[JOB] = structs.replace(DONE, state="processing")


def _change(seen: Seen) -> None:
    seen.again[JOB] = structs.replace(DONE, revision=8)


def _go_back(seen: Seen) -> None:
    seen.samples[JOB].append(structs.replace(DONE, state="processing"))


def _end_again(seen: Seen) -> None:
    seen.samples[JOB].insert(1, structs.replace(DONE, ended_at="2025-12-31T23:59:59Z"))


def _mistake(seen: Seen) -> None:
    wrong = structs.replace(DONE, outcome={"prediction": -1})
    seen.at_the_end[JOB] = seen.again[JOB] = wrong


def _double(seen: Seen) -> None:
    seen.listed.add("job_2")


def _hide(seen: Seen) -> None:
    seen.listed.clear()


def _misinform(seen: Seen) -> None:
    seen.events.append(Event("msg_1", "job.failed", JOB))


def _silence(seen: Seen) -> None:
    seen.events.clear()


def _rename(seen: Seen) -> None:
    seen.events.append(Event("msg_2", "job.completed", JOB))


def _forge(seen: Seen) -> None:
    seen.forged += 1


def _believe(seen: Seen) -> None:
    seen.struck("beat, it waits", accepted=True)


def _leave(seen: Seen) -> None:
    seen.left.append("leases (zset)")


def _break_word(seen: Seen) -> None:
    seen.canceled.add(JOB)


@pytest.mark.parametrize(
    ("spoil", "sort"),
    [
        (_lose, "lost"),
        (_open, "never ended"),
        (_change, "changed after its end"),
        (_go_back, "went back"),
        (_end_again, "went back"),
        (_mistake, "wrong result"),
        (_double, "made twice"),
        (_hide, "not listed"),
        (_misinform, "webhook missing or wrong"),
        (_silence, "webhook missing or wrong"),
        (_rename, "webhook under two ids"),
        (_forge, "webhook not signed well"),
        (_believe, "stale write accepted"),
        (_leave, "left behind"),
        (_break_word, "wrong end"),
    ],
)
def test_a_broken_promise_is_found(spoil: Callable[[Seen], None], sort: str) -> None:
    seen = good()
    spoil(seen)
    assert findings(seen).keys() == {sort}


def test_the_numbers_of_a_batch_are_in_its_order() -> None:
    items = [{"index": 1, "prediction": 5.0}, {"index": 0, "prediction": 3.0}]
    assert numbers({"results": items}) == [3.0, 5.0]
    assert numbers({"prediction": 3.0}) == [3.0]
    assert numbers({"results": [{"index": 0, "error": {}}]}) == [None]
    assert numbers(None) is None


def test_equal_seeds_plan_equal_runs() -> None:
    assert errands(3, 500) == errands(3, 500) != errands(4, 500)
    first, second = (list(itertools.islice(blows(3, 3), 500)) for _ in range(2))
    assert first == second == sorted(first)
    assert {errand.kind for errand in errands(3, 500)} == set(Kind)


def test_blows_come_as_often_as_they_are_meant_to() -> None:
    planned = list(itertools.takewhile(lambda blow: blow.at_s < 700, blows(1, 3)))
    counts = {aim: sum(blow.aim is aim for blow in planned) for aim in Aim}
    assert counts[Aim.WORKER] == pytest.approx(700, rel=0.1)
    assert counts[Aim.RECORDS] == pytest.approx(100, rel=0.1)
    assert counts[Aim.HTTP] == pytest.approx(70, rel=0.15)
    assert counts[Aim.PAUSE] == pytest.approx(78, rel=0.15)


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name)
def test_defences_can_be_taken_out(defence: Defence) -> None:
    for patch in defence.patches:
        assert (CHECKOUT / patch.file).read_text().count(patch.text) == 1, patch
