"""Decides what a change of a tier, tenant or key checks, writes, audits and tells: no I/O.

::

    record before ─► Change ─► write_record.lua, one atomic step
"""

from __future__ import annotations

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import ANONYMOUS, OPERATORS, ApiKey, Tenant, Tier
from control_plane.errors import Fault, InvalidInput, TidegateError
from control_plane.records.transaction import (
    Change,
    Check,
    Entry,
    Moved,
    is_revision,
    not_found,
    stored,
)


def _is_free(key: str, target: str) -> Check:
    def refusal(revision: int) -> TidegateError:
        return TidegateError(
            f"{target} exists", code="ALREADY_EXISTS", details={"revision": revision}
        )

    return Check(("revision", key), 0, refusal)


def tier_created(tier: Tier) -> Change:
    """A tier that was not there."""
    key, target = layout.tier_record(tier.name), f"tier:{tier.name}"
    return Change(
        (_is_free(key, target),),
        (("SET", key, stored(tier)), ("ZADD", layout.TIERS, "0", tier.name)),
        (Entry("tier.create", target, None, tier),),
    )


def first_tiers(tiers: tuple[Tier, ...]) -> Change:
    """The tiers of a system of record that has none."""
    created = [tier_created(tier) for tier in tiers]
    nothing = Check(("ZCARD", layout.TIERS), 0, lambda _: Moved("There are tiers"))
    return Change(
        (nothing,),
        tuple(write for change in created for write in change.writes),
        tuple(entry for change in created for entry in change.entries),
    )


def tier_changed(before: Tier, after: Tier) -> Change:
    """Other limits or prices."""
    key = layout.tier_record(before.name)
    return Change(
        (is_revision(key, before.revision),),
        (("SET", key, stored(after)),),
        (Entry("tier.patch", f"tier:{before.name}", before, after),),
    )


def tier_deleted(tier: Tier) -> Change:
    """A tier without tenants goes.

    Raises:
        TidegateError: ``REVISION_CONFLICT`` for the tier of callers without a key.
    """
    if tier.name == ANONYMOUS:
        raise TidegateError(
            "The tier is that of callers without a key: it can be changed, not deleted",
            code="REVISION_CONFLICT",
        )
    key, tenants = layout.tier_record(tier.name), layout.tier_tenants(tier.name)

    def in_use(count: int) -> TidegateError:
        return TidegateError(
            f"Tenants of this tier: {count}; move or delete them first",
            code="REVISION_CONFLICT",
            details={"tenants": count},
        )

    return Change(
        (is_revision(key, tier.revision), Check(("SCARD", tenants), 0, in_use)),
        (("DEL", key), ("ZREM", layout.TIERS, tier.name)),
        (Entry("tier.delete", f"tier:{tier.name}", tier, None),),
    )


def _tier_exists(name: str) -> Check:
    fault = Fault(field="tier", issue="there is no such tier", path="/tier", received=name)
    return Check(("EXISTS", layout.tier_record(name)), 1, lambda _: InvalidInput([fault]))


def tenant_created(tenant: Tenant) -> Change:
    """A tenant that was not there, not even before: its usage stays for good.

    Raises:
        TidegateError: ``ALREADY_EXISTS`` for the id that operators' keys belong to.
    """
    key, target = layout.tenant_record(tenant.id), f"tenant:{tenant.id}"
    if tenant.id == OPERATORS:
        raise TidegateError(f"{target} is reserved", code="ALREADY_EXISTS")

    def closed(_: int) -> TidegateError:
        return TidegateError(
            f"{target} was deleted: its usage is kept, so its id cannot be used again",
            code="ALREADY_EXISTS",
            details={"closed": True},
        )

    return Change(
        (
            _is_free(key, target),
            Check(("SISMEMBER", layout.CLOSED, tenant.id), 0, closed),
            _tier_exists(tenant.tier),
        ),
        (
            ("SET", key, stored(tenant)),
            ("ZADD", layout.TENANTS, "0", tenant.id),
            ("SADD", layout.tier_tenants(tenant.tier), tenant.id),
        ),
        (Entry("tenant.create", target, None, tenant),),
    )


def tenant_changed(before: Tenant, after: Tenant, action: str) -> Change:
    """Another title, tier, overrides, or suspended or not.

    Args:
        before: As it was read.
        after: As it shall be.
        action: ``tenant.patch`` or ``tenant.override``.
    """
    key = layout.tenant_record(before.id)
    return Change(
        (is_revision(key, before.revision), _tier_exists(after.tier)),
        (
            ("SET", key, stored(after)),
            ("SREM", layout.tier_tenants(before.tier), before.id),
            ("SADD", layout.tier_tenants(after.tier), after.id),
        ),
        (Entry(action, f"tenant:{before.id}", before, after),),
    )


def tenant_deleted(tenant: Tenant, keys: list[ApiKey]) -> Change:
    """A tenant goes with all its keys; its usage stays and its id is not used again.

    Args:
        tenant: As it was read.
        keys: All of its keys.
    """
    key, index = layout.tenant_record(tenant.id), layout.keys_of(tenant.id)
    count = Check(("ZCARD", index), len(keys), lambda _: Moved("The tenant's keys were changed"))
    unchanged = [is_revision(layout.key_record(own.id), own.revision) for own in keys]
    return Change(
        (is_revision(key, tenant.revision), count, *unchanged),
        (
            *(("DEL", layout.key_record(own.id)) for own in keys),
            ("DEL", index),
            ("DEL", key),
            ("ZREM", layout.TENANTS, tenant.id),
            ("SREM", layout.tier_tenants(tenant.tier), tenant.id),
            ("SADD", layout.CLOSED, tenant.id),
            ("SET", layout.closed_record(tenant.id), stored(tenant)),
        ),
        (
            *(Entry("key.delete", f"key:{own.id}", own, None) for own in keys),
            Entry("tenant.delete", f"tenant:{tenant.id}", tenant, None),
        ),
    )


def key_created(key: ApiKey) -> Change:
    """A key of a tenant that exists, or of the operators."""
    record = layout.key_record(key.id)
    owner = Check(("EXISTS", layout.tenant_record(key.tenant)), 1, lambda _: not_found())
    return Change(
        (_is_free(record, f"key:{key.id}"), *(() if key.tenant == OPERATORS else (owner,))),
        (("SET", record, stored(key)), ("ZADD", layout.keys_of(key.tenant), "0", key.id)),
        (Entry("key.create", f"key:{key.id}", None, key),),
    )


def key_changed(before: ApiKey, after: ApiKey, action: str) -> Change:
    """Other rights, another secret, or none any more.

    Args:
        before: As it was read.
        after: As it shall be.
        action: ``key.patch``, ``key.rotate`` or ``key.revoke``.
    """
    record = layout.key_record(before.id)
    return Change(
        (is_revision(record, before.revision),),
        (("SET", record, stored(after)),),
        (Entry(action, f"key:{before.id}", before, after),),
    )
