"""What a principal's scopes cover."""

from __future__ import annotations

import pytest

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.principal import Principal

LIMITS = Limits(requests=1, burst=1, concurrency=1)


def may(scopes: tuple[str, ...], action: str, *target: str) -> bool:
    principal = Principal("key", "t:acme", "acme", "k:abc", "free", LIMITS, scopes)
    return principal.may(action, *target)


@pytest.mark.parametrize(
    ("scope", "action", "target", "expected"),
    [
        ("predict", "predict", "sentiment", True),
        ("predict", "jobs", "sentiment", False),
        ("predict:sentiment", "predict", "sentiment", True),
        ("predict:sentiment", "predict", "sentiment-2", False),
        ("predict:sentiment", "predict", "wine", False),
        ("predict:wine-*", "predict", "wine-red", True),
        ("predict:wine-*", "predict", "sentiment", False),
        ("predict:*", "predict", "sentiment", True),
        ("predictions", "predict", "sentiment", False),
        ("admin", "admin", "tenants:write", True),
        ("admin:*", "admin", "tenants:write", True),
        ("admin:tenants", "admin", "tenants:write", True),
        ("admin:tenants", "admin", "tenants", True),
        ("admin:tenants:read", "admin", "tenants:read", True),
        ("admin:tenants:read", "admin", "tenants:write", False),
        ("admin:tenants", "admin", "keys:read", False),
        ("admin:*", "predict", "sentiment", False),
        ("predict", "admin", "tenants:read", False),
    ],
)
def test_one_scope(scope: str, action: str, target: str, *, expected: bool) -> None:
    assert may((scope,), action, target) is expected


def test_a_scope_for_some_models_is_not_one_for_all() -> None:
    assert not may(("predict:sentiment",), "predict")
    assert may(("predict",), "predict")
    assert may(("predict:*",), "predict")


def test_any_of_several_scopes_is_enough_and_none_is_not() -> None:
    assert may(("jobs", "predict:wine"), "predict", "wine")
    assert not may((), "predict", "wine")
