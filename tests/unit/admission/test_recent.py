"""The bounded mapping."""

from __future__ import annotations

from control_plane.admission.recent import Recent


def test_the_one_unused_for_longest_goes() -> None:
    kept: Recent[str, int] = Recent(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(name) for name in "abc"] == [1, None, 3]
    assert len(kept) == 2


def test_put_again_counts_as_used_and_replaces() -> None:
    kept: Recent[str, int] = Recent(2)
    for name, value in [("a", 1), ("b", 2), ("a", 3), ("c", 4)]:
        kept.put(name, value)
    assert [kept.get(name) for name in "abc"] == [3, None, 4]


def test_drop_and_clear() -> None:
    kept: Recent[str, int] = Recent(2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.drop("a")
    kept.drop("never there")
    assert kept.get("a") is None
    kept.clear()
    assert len(kept) == 0
