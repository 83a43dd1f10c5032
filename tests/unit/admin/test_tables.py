"""What commands print."""

from __future__ import annotations

import pytest

from control_plane.cli import tables


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("created_at", 0, "1970-01-01 00:00:00Z"),
        ("expires_at", None, "-"),
        ("limits.month_units", None, "none"),
        ("suspended", False, "no"),
        ("scopes", ["a", "b"], "a b"),
        ("title", "", "-"),
        ("title", "\x1b[2Jx\n", "�[2Jx�"),
    ],
)
def test_values_are_shown_for_people(path: str, value: object, text: str) -> None:
    assert tables.shown(path, value) == text


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    tables.rows([{"a": "long one", "b": {"c": 1}}, {"a": "x"}], {"a": "A", "b.c": "C"})
    assert capsys.readouterr().out == "A         C\nlong one  1\nx         -\n"


def test_fields_of_objects_have_their_path(capsys: pytest.CaptureFixture[str]) -> None:
    tables.fields({"a": {"b": 1}, "c": {}})
    assert capsys.readouterr().out == "a.b  1\nc    -\n"
