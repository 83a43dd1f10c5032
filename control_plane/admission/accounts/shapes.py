"""What the system of record keeps of those who call: tiers, tenants and API keys.

Every record carries the version of its shape (``schema``) and a ``revision`` that grows by one
with each change, so that two operators never overwrite each other without knowing.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.patterns import exactly
from control_plane.records.record import Record

Name = Annotated[
    str, Meta(pattern=exactly("[a-z0-9][a-z0-9_-]{0,62}"), description="Lower case id")
]
Title = Annotated[str, Meta(max_length=200, description="For people")]
Requests = Annotated[int, Meta(ge=1, le=1_000_000_000, description="Requests in a window")]
Window = Annotated[int, Meta(ge=1, le=86_400, description="Length of that window, seconds")]
Burst = Annotated[
    int, Meta(ge=1, le=100_000_000, description="Requests that may come at once, ahead of the rate")
]
Concurrency = Annotated[int, Meta(ge=1, le=1_000_000, description="Requests in flight at once")]
Units = (
    Annotated[int, Meta(ge=0, le=1_000_000_000_000_000, description="Units of quota; null: no cap")]
    | None
)
Batch = Annotated[int, Meta(ge=1, le=100_000, description="Inputs in one batch")]
Body = Annotated[int, Meta(ge=1024, le=1_073_741_824, description="Size of one body, bytes")]
Overage = Annotated[
    Literal["block", "bill"],
    Meta(description="What happens beyond the quota: refuse, or go on and bill apart"),
]
Priority = Annotated[
    Literal["high", "normal", "low"], Meta(description="Which of the waiting jobs go first")
]
Micros = Annotated[
    int, Meta(ge=0, le=1_000_000_000_000, description="Price of a unit, millionths of the currency")
]
Currency = Annotated[str, Meta(pattern=exactly("[A-Z]{3}"), description="ISO 4217 code")]
Scope = Annotated[
    str,
    Meta(
        pattern=exactly("(predict|jobs|explain|uploads|admin)(:[a-z0-9*][a-z0-9*_-]{0,62}){0,2}"),
        description="What a key may do: `predict`, `predict:sentiment`, `jobs:wine-*`, `admin:*`",
    ),
]
Network = Annotated[
    str,
    Meta(max_length=49, pattern=exactly("[0-9a-fA-F:.]+(/[0-9]{1,3})?"), description="CIDR"),
]
Epoch = Annotated[int, Meta(ge=0, le=253_402_300_799, description="Seconds since 1970, UTC")]


class Limits(Struct, frozen=True, kw_only=True):
    """How much a tenant may call.

    Attributes:
        requests: Sustained rate: requests in ``window_s``.
        window_s: Seconds.
        burst: Requests that may come at once.
        concurrency: Requests in flight at once.
        month_units: Units in a calendar month (UTC); None for no cap.
        day_units: Units in a calendar day (UTC); None for no cap.
        max_batch: Inputs in one batch.
        max_body_bytes: Size of a body, bytes.
        overage: What happens beyond the quota.
        priority: Of its jobs.
    """

    requests: Requests
    window_s: Window = 60
    burst: Burst
    concurrency: Concurrency
    month_units: Units = None
    day_units: Units = None
    max_batch: Batch = 1000
    max_body_bytes: Body = 1_073_741_824
    overage: Overage = "block"
    priority: Priority = "low"


class Overrides(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Limits of one tenant in place of its tier's; what is left out is the tier's."""

    requests: Requests | UnsetType = UNSET
    window_s: Window | UnsetType = UNSET
    burst: Burst | UnsetType = UNSET
    concurrency: Concurrency | UnsetType = UNSET
    month_units: Units | UnsetType = UNSET
    day_units: Units | UnsetType = UNSET
    max_batch: Batch | UnsetType = UNSET
    max_body_bytes: Body | UnsetType = UNSET
    overage: Overage | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET

    def over(self, limits: Limits) -> Limits:
        """The limits with these in place of theirs."""
        own = {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }
        return msgspec.structs.replace(limits, **own)


class Tier(Record, frozen=True, kw_only=True):
    """A class of tenants.

    Attributes:
        name: Id.
        title: For people.
        limits: Of each of its tenants.
        unit_price: Of a unit within the quota, millionths of ``currency``.
        overage_unit_price: Of a unit beyond it.
        currency: ISO 4217.
    """

    name: Name
    title: Title = ""
    limits: Limits
    unit_price: Micros = 0
    overage_unit_price: Micros = 0
    currency: Currency = "EUR"


class Tenant(Record, frozen=True, kw_only=True):
    """Who is billed and limited: a customer.

    Attributes:
        id: Id.
        title: For people.
        tier: Name of its tier.
        overrides: Limits in place of the tier's.
        suspended: True if none of its calls is admitted.
    """

    id: Name
    title: Title = ""
    tier: Name
    overrides: Overrides = Overrides()
    suspended: bool = False


class ApiKey(Record, frozen=True, kw_only=True):
    """An API key as it is kept: never the key itself.

    Attributes:
        id: Public part of the key.
        tenant: Whose it is; ``operators`` for keys of the operators' API.
        name: For people.
        digests: Keyed hashes that open it (hex), the latest first; a second one while a rotation
            overlaps.
        digest_until: Epoch second at which the second digest stops opening it; 0 without one.
        scopes: What it may do.
        networks: Networks that it may be used from; empty for any.
        expires_at: Epoch second of its end; 0 for none.
        revoked_at: Epoch second of its revocation; 0 while it lives.
    """

    id: Annotated[str, Meta(pattern=exactly("[a-z2-7]{12}"))]
    tenant: Name
    name: Title = ""
    digests: tuple[str, ...]
    digest_until: Epoch = 0
    scopes: Annotated[tuple[Scope, ...], Meta(max_length=64)] = ("predict",)
    networks: Annotated[tuple[Network, ...], Meta(max_length=64)] = ()
    expires_at: Epoch = 0
    revoked_at: Epoch = 0


OPERATORS: Final = "operators"
"""The tenant of keys of the operators' API; it can call no model."""

ANONYMOUS: Final = "anonymous"
"""The tier of callers without a key."""

TENANT_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

STANDARD_TIERS: Final = (
    Tier(
        name=ANONYMOUS,
        title="Callers without a key, by address",
        limits=Limits(requests=30, burst=10, concurrency=2, max_batch=10, max_body_bytes=65_536),
    ),
    Tier(
        name="free",
        title="Free",
        limits=Limits(
            requests=300, burst=60, concurrency=8, month_units=50_000, max_batch=60,
            max_body_bytes=1_048_576,
        ),
    ),
    Tier(
        name="pro",
        title="Pro",
        limits=Limits(
            requests=3000, burst=600, concurrency=64, month_units=5_000_000, max_batch=600,
            overage="bill", priority="normal",
        ),
        unit_price=100,
        overage_unit_price=150,
    ),
    Tier(
        name="enterprise",
        title="Enterprise",
        limits=Limits(
            requests=60_000, burst=12_000, concurrency=512, max_batch=10_000, overage="bill",
            priority="high",
        ),
        unit_price=80,
        overage_unit_price=120,
    ),
    Tier(
        name="internal",
        title="Demonstration and benchmark keys",
        limits=Limits(
            requests=1_000_000, window_s=1, burst=1_000_000, concurrency=10_000, max_batch=10_000,
            overage="bill", priority="high",
        ),
    ),
)  # fmt: skip
"""The tiers that a system of record without any gets at the first start."""
