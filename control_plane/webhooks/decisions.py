"""Changes of endpoints and secrets, as data: what must hold, what is written, what is audited."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from control_plane.errors import TidegateError
from control_plane.records.transaction import (
    Change,
    Check,
    Entry,
    Moved,
    is_revision,
    stored,
)
from control_plane.webhooks import layout
from control_plane.webhooks.shapes import Endpoint, TenantSecret

Record = Endpoint | TenantSecret
R = TypeVar("R", Endpoint, TenantSecret)


def key_of(record: Record) -> str:
    """Key of a record."""
    if isinstance(record, Endpoint):
        return layout.endpoint_record(record.id)
    return layout.secret_record(record.tenant)


def endpoint_created(endpoint: Endpoint, count: int, most: int) -> Change:
    """One endpoint more.

    Args:
        endpoint: To be kept.
        count: How many the tenant has.
        most: How many it may have.

    Raises:
        TidegateError: TOO_MANY_OPEN.
    """
    if count >= most:
        raise TidegateError(
            f"The tenant has {count} endpoints; it may have {most}",
            code="TOO_MANY_OPEN",
            details={"limit": most},
            headers={"retry-after": "60"},
        )
    index = layout.endpoints_of(endpoint.tenant)
    unchanged = Check(("ZCARD", index), count, lambda _: Moved("Others made endpoints"))
    return Change(
        (unchanged,),
        (("SET", key_of(endpoint), stored(endpoint)), ("ZADD", index, "0", endpoint.id)),
        (_entry("create", None, endpoint),),
    )


def endpoint_deleted(endpoint: Endpoint) -> Change:
    """One endpoint less."""
    key, index = key_of(endpoint), layout.endpoints_of(endpoint.tenant)
    return Change(
        (is_revision(key, endpoint.revision),),
        (("DEL", key), ("ZREM", index, endpoint.id)),
        (_entry("delete", endpoint, None),),
    )


def secret_created(secret: TenantSecret) -> Change:
    """A tenant's first default secret."""
    key = key_of(secret)
    free = Check(("EXISTS", key), 0, lambda _: Moved("Another made the secret"))
    return Change((free,), (("SET", key, stored(secret)),), (_entry("create", None, secret),))


def changed(before: R, after: R, action: str) -> Change:
    """Another address, other events, another secret, enabled or not.

    Args:
        before: As it was read.
        after: As it shall be.
        action: ``patch``, ``rotate`` or ``disable``.
    """
    key = key_of(before)
    return Change(
        (is_revision(key, before.revision),),
        (("SET", key, stored(after)),),
        (_entry(action, before, after),),
    )


def _entry(action: str, before: Record | None, after: Record | None) -> Entry:
    """An audit entry without what is sealed: what was rotated away is to be gone."""
    record = after or before
    if isinstance(record, Endpoint):
        kind, name = "webhook", record.id
    else:
        kind, name = "webhook-secret", record.tenant if record else ""
    return Entry(f"{kind}.{action}", f"{kind}:{name}", _bare(before), _bare(after))


def _bare(record: Record | None) -> Record | None:
    if record is None:
        return None
    if isinstance(record, Endpoint):
        return msgspec.structs.replace(record, secrets=(), url="")
    return msgspec.structs.replace(record, secrets=())
