"""Cursors: opaque, and only those of the list itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidParameter
from control_plane.records.pages import cursor, last_of

_ID = re.compile(r"[a-z0-9-]{1,63}")


@given(st.from_regex(_ID, fullmatch=True))
def test_a_cursor_holds_an_id(last: str) -> None:
    text = cursor(last)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert last_of(text, _ID) == last


@given(st.text(max_size=20) | st.binary(max_size=20).map(lambda data: data.decode("latin-1")))
def test_whatever_else_comes_is_refused(text: str) -> None:
    try:
        last = last_of(text, _ID)
    except InvalidParameter:
        return
    assert cursor(last) == text


@pytest.mark.parametrize("text", ["", "=", "YWJj=", "YWJj\n", "ABC", "ä"])
def test_it_has_one_form(text: str) -> None:
    with pytest.raises(InvalidParameter):
        last_of(text, _ID)
