"""Tenants with what they are charged, deleted ones too, in the order of their ids."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import Struct

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import TENANT_ID, Limits, Tenant, Tier
from control_plane.admission.usage.billing import Terms, terms_of
from control_plane.records.server import reached
from control_plane.records.transaction import not_found

_PART: Final = 200
_tenant: Final = msgspec.json.Decoder(Tenant).decode
_tier: Final = msgspec.json.Decoder(Tier).decode


class Customer(Struct, frozen=True):
    """A tenant, deleted or not.

    Attributes:
        id: Its id.
        terms: What it is charged; of a deleted one, what it was last.
        limits: Its limits; None if its tier was deleted.
        is_closed: True if it was deleted.
    """

    id: str
    terms: Terms
    limits: Limits | None
    is_closed: bool


class Customers:
    """Reads the records of tenants that have usage.

    Every method raises :class:`AdmissionUnavailable` if the system of record does not answer a
    step within two seconds.
    """

    def __init__(self, server: redis.Redis) -> None:
        """Read from the system of record."""
        self._server = server

    async def get(self, tenant: str) -> Customer:
        """One, or ``NOT_FOUND`` if there never was one of that id."""
        found = await self._several([tenant]) if TENANT_ID.fullmatch(tenant) else []
        if not found:
            raise not_found()
        return found[0]

    async def since(self, first: str) -> AsyncGenerator[Customer, None]:
        """All of them from an id on, which is part of it; empty for the first."""
        low, closes = first, "["
        while True:
            # In this order: who is deleted in between stands in both.
            async with reached():
                members: Any = await self._server.zrangebylex(
                    layout.TENANTS, closes + low, "+", 0, _PART
                )
                closed: Any = await self._server.smembers(layout.CLOSED)
            ids = {member.decode() for member in members}
            last = max(ids) if len(ids) == _PART else None
            for name in map(bytes.decode, closed):
                is_here = name > low or (closes == "[" and name == low)
                if is_here and (last is None or name <= last):
                    ids.add(name)
            for customer in await self._several(sorted(ids)):
                yield customer
            if last is None:
                return
            low, closes = last, "("

    async def _several(self, ids: list[str]) -> list[Customer]:
        """Those of some ids; read at once, a tenant stands in its record or in the one kept."""
        names = [name for tenant in ids for name in _names(tenant)]
        texts = await self._read(names)
        pairs = zip(texts[::2], texts[1::2], strict=True)
        tenants = [(_tenant(live or kept), live is None) for live, kept in pairs if live or kept]
        tiers = {tenant.tier: layout.tier_record(tenant.tier) for tenant, _ in tenants}
        found = await self._read(list(tiers.values()))
        known = {name: _tier(text) for name, text in zip(tiers, found, strict=True) if text}
        return [
            _customer(tenant, known.get(tenant.tier), is_closed=is_closed)
            for tenant, is_closed in tenants
        ]

    async def _read(self, names: list[str]) -> list[Any]:
        if not names:
            return []
        async with reached():
            texts: list[Any] = await self._server.mget(names)
        return texts


def _names(tenant: str) -> tuple[str, str]:
    return layout.tenant_record(tenant), layout.closed_record(tenant)


def _customer(tenant: Tenant, tier: Tier | None, *, is_closed: bool) -> Customer:
    limits = tenant.overrides.over(tier.limits) if tier else None
    return Customer(tenant.id, terms_of(tenant, tier), limits, is_closed)
