"""Shapes of the operators' API: what it takes and what it shows, which is never a digest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.admission.accounts.shapes import (
    ApiKey,
    Currency,
    Epoch,
    Limits,
    Micros,
    Name,
    Network,
    Overrides,
    Scope,
    Tenant,
    Tier,
    Title,
)
from control_plane.patterns import exactly
from control_plane.records.audit import AuditEntry

NextCursor = Annotated[str, Meta(description="Query parameter `cursor` of the next page")] | None
Revision = Annotated[int, Meta(ge=1, description="Grows by one with each change; the ETag")]
Moment = Annotated[int, Meta(ge=1, le=253_402_300_799, description="Epoch seconds, UTC")]
Scopes = Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=64)]
Networks = Annotated[
    tuple[Network, ...],
    Meta(max_length=64, description="CIDR networks it may be used from; empty for any"),
]
KeyId = Annotated[str, Meta(pattern=exactly("[a-z2-7]{12}"), description="Public part of the key")]


class LimitsBody(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a tier."""


class TierFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a tier."""

    title: Title = ""
    limits: LimitsBody
    unit_price: Micros = 0
    overage_unit_price: Micros = 0
    currency: Currency = "EUR"


class TierBody(TierFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier to be made."""

    name: Name


class TierView(Struct, frozen=True, kw_only=True):
    """A tier."""

    name: Name
    title: Title
    limits: Limits
    unit_price: Micros
    overage_unit_price: Micros
    currency: Currency
    revision: Revision
    created_at: Epoch
    updated_at: Epoch


class TierPage(Struct, frozen=True):
    """Tiers by name."""

    items: list[TierView]
    next_cursor: NextCursor


class TenantFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a tenant, but for its overrides."""

    title: Title = ""
    tier: Name
    suspended: Annotated[bool, Meta(description="True: none of its calls is admitted")] = False


class TenantBody(TenantFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to be made."""

    id: Name
    overrides: Overrides = Overrides()


class TenantView(Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: Name
    title: Title
    tier: Name
    overrides: Overrides
    suspended: bool
    revision: Revision
    created_at: Epoch
    updated_at: Epoch


class TenantPage(Struct, frozen=True):
    """Tenants by id."""

    items: list[TenantView]
    next_cursor: NextCursor


class KeyFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be chosen of an API key."""

    name: Title = ""
    scopes: Scopes = ("predict",)
    networks: Networks = ()
    expires_at: Moment | None = None


class RotateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is rotated."""

    overlap_s: Annotated[
        int, Meta(ge=0, le=604_800, description="Seconds that the old secret stays valid")
    ] = 86_400


class KeyView(Struct, frozen=True, kw_only=True):
    """An API key, without its secret."""

    id: KeyId
    tenant: Name
    name: Title
    state: Literal["active", "expired", "revoked"]
    scopes: Scopes
    networks: Networks
    expires_at: Moment | None
    revoked_at: Moment | None
    overlap_until: Annotated[
        Moment | None, Meta(description="Until when the secret before the latest rotation is valid")
    ]
    last_used_at: Annotated[
        Moment | UnsetType | None,
        Meta(
            description="When its latest call ended; null before the first. Lists and reads of "
            "tenants' keys have it while the limits server answers"
        ),
    ] = UNSET
    revision: Revision
    created_at: Epoch
    updated_at: Epoch


class KeyShown(Struct, frozen=True, kw_only=True):
    """An API key with its secret, which is shown this once."""

    key: Annotated[str, Meta(description="To be sent as `Authorization: Bearer`")]
    record: KeyView


class KeyPage(Struct, frozen=True):
    """Keys of a tenant by id."""

    items: list[KeyView]
    next_cursor: NextCursor


class AuditPage(Struct, frozen=True):
    """Changes, by default the latest first."""

    items: list[AuditEntry]
    next_cursor: NextCursor


def tier_view(tier: Tier) -> TierView:
    """What is shown of a tier."""
    return msgspec.convert(tier, TierView, from_attributes=True)


def tenant_view(tenant: Tenant) -> TenantView:
    """What is shown of a tenant."""
    return msgspec.convert(tenant, TenantView, from_attributes=True)


def key_view(key: ApiKey, now: float, last_used_at: int | UnsetType | None = UNSET) -> KeyView:
    """What is shown of a key.

    Args:
        key: As it is kept.
        now: Epoch seconds.
        last_used_at: Epoch seconds of its latest call, None if there was none; left out if that
            is not known.
    """
    is_expired = 0 < key.expires_at <= now
    return KeyView(
        id=key.id,
        tenant=key.tenant,
        name=key.name,
        state="revoked" if key.revoked_at else "expired" if is_expired else "active",
        scopes=key.scopes,
        networks=key.networks,
        expires_at=key.expires_at or None,
        revoked_at=key.revoked_at or None,
        overlap_until=key.digest_until if key.digest_until > now else None,
        last_used_at=last_used_at,
        revision=key.revision,
        created_at=key.created_at,
        updated_at=key.updated_at,
    )


def plain(fields: Struct) -> Any:
    """A Struct as plain values, to be merged with a patch."""
    return msgspec.to_builtins(fields)
