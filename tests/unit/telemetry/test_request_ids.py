"""Ids: the server's own sort by time, the client's are taken only if well formed."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.telemetry.ids import client_request_id, new_request_id


def test_an_id_has_the_published_form() -> None:
    assert re.fullmatch(r"req_[0-9a-f]{32}", new_request_id())


def test_ids_are_unique() -> None:
    assert len({new_request_id() for _ in range(20_000)}) == 20_000


def test_ids_sort_by_the_time_of_their_making(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0, 1_000_000, 1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 2**62]
    ids = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        ids.append(new_request_id())
    assert ids == sorted(ids)
    assert len({len(one) for one in ids}) == 1


@pytest.mark.parametrize(
    "value", [b"a", b"a" * 128, b"550e8400-e29b-41d4-a716-446655440000", b"A1._:/+=@-"]
)
def test_a_well_formed_id_of_a_client_is_taken(value: bytes) -> None:
    assert client_request_id(value) == value.decode()


@pytest.mark.parametrize(
    "value",
    [None, b"", b"a" * 129, b"a b", b"a\n", b"\na", b'"a"', b"a,b", b"<script>", b"{}", b"\xe9",
     "é".encode(), b"a\0", b"%0d%0a"],
)  # fmt: skip
def test_any_other_is_left_out(value: bytes | None) -> None:
    assert client_request_id(value) is None


@given(st.binary(max_size=200))
def test_what_is_taken_can_stand_in_a_header_and_in_a_log(value: bytes) -> None:
    taken = client_request_id(value)
    assert taken is None or (taken.isascii() and taken.isprintable() and " " not in taken)
