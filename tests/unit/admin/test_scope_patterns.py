"""A scope is within another only if that one allows all that it allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admin.guards import is_operator, is_within
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.principal import Kind, Principal

_parts = st.text("ab*", min_size=1, max_size=3)
_scopes = st.builds(
    lambda action, parts: ":".join([action, *parts]),
    st.sampled_from(["admin", "jobs"]),
    st.lists(_parts, max_size=2),
)
_targets = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3).map(":".join)


def holder(scope: str) -> Principal:
    limits = Limits(requests=1, burst=1, concurrency=1)
    return Principal("key", "t:x", "x", "k:x", "pro", limits, (scope,))


@given(_scopes, _scopes, st.sampled_from(["admin", "jobs"]), _targets)
def test_what_is_within_allows_nothing_more(scope: str, own: str, action: str, target: str) -> None:
    if is_within(scope, own) and holder(scope).may(action, target):
        assert holder(own).may(action, target)


@given(_scopes)
def test_a_scope_is_within_itself_and_its_action(scope: str) -> None:
    assert is_within(scope, scope)
    assert is_within(scope, scope.partition(":")[0])


@pytest.mark.parametrize(
    ("scope", "own"),
    [
        ("admin:tenants:read", "admin:tenants"),
        ("admin:tenants:read", "admin:*:read"),
        ("admin:tenants", "admin:*"),
        ("admin:*:read", "admin:*"),
    ],
)
def test_narrower_scopes_are_within(scope: str, own: str) -> None:
    assert is_within(scope, own)
    assert not is_within(own, scope)


@pytest.mark.parametrize(
    ("scope", "own"),
    [
        ("predict:wine-red", "predict:wine"),
        ("admin:tenants-of:read", "admin:tenants"),
        ("predict:*", "predict:w*"),
        ("predict:w", "jobs"),
    ],
)
def test_other_scopes_are_not_within(scope: str, own: str) -> None:
    assert not is_within(scope, own)


@pytest.mark.parametrize(
    ("kind", "tenant", "lets_in"),
    [
        ("key", "operators", True),
        ("token", "operators", False),
        ("key", "acme", False),
        ("anonymous", "", False),
    ],
)
def test_only_keys_of_the_operators_open_the_port(
    kind: Kind, tenant: str, *, lets_in: bool
) -> None:
    limits = Limits(requests=1, burst=1, concurrency=1)
    principal = Principal(kind, f"t:{tenant}", tenant, "x", "pro", limits, ("admin",))
    assert is_operator(principal) is lets_in
