"""What a change writes: one step, and nothing secret in what is audited."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control_plane.admission.accounts import decisions
from control_plane.admission.accounts.shapes import STANDARD_TIERS, ApiKey, Tenant
from control_plane.errors import TidegateError
from control_plane.records import places
from control_plane.records.transaction import Actor, Change

ME = Actor("k:aaaaaaaaaaaa", "req_1")
KEY = ApiKey(id="b" * 12, tenant="acme", digests=("5ec7e7", "01d"), digest_until=9)
TENANT = Tenant(id="acme", tier="pro")


def plan(change: Change) -> tuple[list[str], dict[str, Any]]:
    keys, text = change.encode(ME)
    return keys, json.loads(text)


@pytest.mark.parametrize(
    "change",
    [
        decisions.key_created(KEY),
        decisions.key_changed(KEY, KEY, "key.rotate"),
        decisions.tenant_deleted(TENANT, [KEY]),
    ],
)
def test_no_digest_is_audited(change: Change) -> None:
    _, told = plan(change)
    assert "b" * 12 in str(told["entries"])
    assert "5ec7e7" not in str(told["entries"])
    assert "digests" not in str(told["entries"])


def test_every_key_is_named_once_and_lies_with_the_records() -> None:
    keys, told = plan(decisions.tenant_changed(TENANT, TENANT, "tenant.patch"))
    assert len(keys) == len(set(keys))
    assert all(key.startswith("tg:{records}:") for key in keys)
    assert keys[told["audit"] - 1] == places.AUDIT
    for command in [check[0] for check in told["checks"]] + told["writes"]:
        assert 1 <= command[1] <= len(keys)


def test_an_entry_says_who_what_before_and_after() -> None:
    _, told = plan(decisions.tier_created(STANDARD_TIERS[0]))
    (entry,) = told["entries"]
    fields = dict(zip(entry[::2], entry[1::2], strict=True))
    assert fields.keys() == {"who", "action", "target", "before", "after", "request_id"}
    assert fields["who"] == "k:aaaaaaaaaaaa"
    assert fields["before"] == "null"
    assert json.loads(fields["after"])["name"] == "anonymous"
    assert told["news"] == ["tier:anonymous"]


def test_what_may_never_be_is_refused_without_a_look() -> None:
    with pytest.raises(TidegateError, match="reserved"):
        decisions.tenant_created(Tenant(id="operators", tier="pro"))
    with pytest.raises(TidegateError, match="without a key"):
        decisions.tier_deleted(STANDARD_TIERS[0])
