"""The records of those who call: read, and changed in atomic steps that are audited and told."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import redis.asyncio as redis

from control_plane.admission import layout
from control_plane.admission.accounts import decisions
from control_plane.admission.accounts.shapes import (
    OPERATORS,
    STANDARD_TIERS,
    TENANT_ID,
    ApiKey,
    Tenant,
    Tier,
)
from control_plane.errors import Forbidden, InvalidInput, TidegateError
from control_plane.records.pages import Page
from control_plane.records.server import Kind, RecordServer, repeated
from control_plane.records.transaction import SYSTEM, Actor, Change, Moved

KEY_ID: Final = re.compile(r"[a-z2-7]{12}")

_TIER: Final = Kind(Tier, layout.tier_record, TENANT_ID)
_TENANT: Final = Kind(Tenant, layout.tenant_record, TENANT_ID)
_KEY: Final = Kind(ApiKey, layout.key_record, KEY_ID)


class Store:
    """Tiers, tenants and API keys.

    Every method raises :class:`AdmissionUnavailable` if the system of record does not answer
    within two seconds; a change may then have been made or not. What does not exist is
    ``NOT_FOUND``. A change with ``expected`` is made only at that revision
    (``REVISION_CONFLICT``); without, it is decided anew on what another change has left.
    """

    def __init__(self, server: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        """Keep records on a server.

        Args:
            server: The system of record. It must not repeat commands by itself: the reply to a
                change may be lost, and made twice it would conflict with itself.
            clock: Epoch seconds.
        """
        self._records = RecordServer(server, clock)

    async def tier(self, name: str) -> Tier:
        """A tier."""
        return await self._records.read(_TIER, name)

    async def tiers(self, after: str | None, limit: int) -> Page[Tier]:
        """Tiers by name.

        Args:
            after: Cursor of the page; None for the first.
            limit: Items at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        return await self._records.page(_TIER, layout.TIERS, after, limit)

    async def create_tier(self, tier: Tier, by: Actor) -> Tier:
        """Make a tier, or raise ``ALREADY_EXISTS``."""
        return await self._records.create(tier, decisions.tier_created, by)

    async def change_tier(
        self, name: str, edit: Callable[[Tier], Tier], by: Actor, expected: int | None = None
    ) -> Tier:
        """Change a tier; ``edit`` may be called more than once."""
        return await self._records.change(_TIER, name, edit, decisions.tier_changed, by, expected)

    async def delete_tier(self, name: str, by: Actor, expected: int | None = None) -> None:
        """Delete a tier; ``REVISION_CONFLICT`` says how many tenants it still has."""

        async def step() -> None:
            tier = await self._records.read_at(_TIER, name, expected)
            await self._records.commit(decisions.tier_deleted(tier), by)

        await repeated(step, expected)

    async def tenant(self, tenant: str) -> Tenant:
        """A tenant."""
        return await self._records.read(_TENANT, tenant)

    async def tenants(self, after: str | None, limit: int) -> Page[Tenant]:
        """Tenants by id; see :meth:`tiers`."""
        return await self._records.page(_TENANT, layout.TENANTS, after, limit)

    async def create_tenant(self, tenant: Tenant, by: Actor) -> Tenant:
        """Make a tenant, or raise ``ALREADY_EXISTS``: of a deleted one's id, too.

        Raises:
            InvalidInput: If there is no such tier.
        """
        return await self._records.create(tenant, decisions.tenant_created, by)

    async def change_tenant(
        self,
        tenant: str,
        edit: Callable[[Tenant], Tenant],
        by: Actor,
        expected: int | None = None,
        action: str = "tenant.patch",
    ) -> Tenant:
        """Change a tenant; ``edit`` may be called more than once.

        Raises:
            InvalidInput: If there is no such tier.
        """

        def change(before: Tenant, after: Tenant) -> Change:
            return decisions.tenant_changed(before, after, action)

        return await self._records.change(_TENANT, tenant, edit, change, by, expected)

    async def delete_tenant(self, tenant: str, by: Actor, expected: int | None = None) -> None:
        """Delete a tenant with all its keys; its usage stays, its id is not used again."""

        async def step() -> None:
            found = await self._records.read_at(_TENANT, tenant, expected)
            keys = await self._records.all(_KEY, layout.keys_of(tenant))
            await self._records.commit(decisions.tenant_deleted(found, keys), by)

        await repeated(step, expected)

    async def provision(self, tenant: str, tier: str) -> Tenant:
        """The tenant that a trusted provider names, made at its first call.

        Args:
            tenant: Its id.
            tier: Of a tenant that is made; one that exists keeps its own.

        Raises:
            Forbidden: If it was deleted, or the tier does not exist.
        """
        try:
            return await self.tenant(tenant)
        except TidegateError as error:
            if error.code != "NOT_FOUND" or not TENANT_ID.fullmatch(tenant):
                raise
        try:
            return await self.create_tenant(Tenant(id=tenant, tier=tier), SYSTEM)
        except InvalidInput as error:
            raise Forbidden("The tenant's tier does not exist", details={"tier": tier}) from error
        except TidegateError as error:
            if error.code != "ALREADY_EXISTS":
                raise
            if "revision" not in error.details:
                raise Forbidden("The tenant is closed", details={"tenant": tenant}) from error
        return await self.tenant(tenant)

    async def key(self, key_id: str) -> ApiKey:
        """An API key."""
        return await self._records.read(_KEY, key_id)

    async def keys(self, tenant: str, after: str | None, limit: int) -> Page[ApiKey]:
        """The keys of a tenant by id, revoked ones too; see :meth:`tiers`."""
        if tenant != OPERATORS:
            await self.tenant(tenant)
        return await self._records.page(_KEY, layout.keys_of(tenant), after, limit)

    async def create_key(self, key: ApiKey, by: Actor) -> ApiKey:
        """Keep a key of a tenant that exists, or of the operators."""
        return await self._records.create(key, decisions.key_created, by)

    async def change_key(
        self,
        key_id: str,
        edit: Callable[[ApiKey], ApiKey],
        action: str,
        by: Actor,
        expected: int | None = None,
    ) -> ApiKey:
        """Change a key; ``edit`` may be called more than once.

        Args:
            key_id: Which.
            edit: What becomes of it.
            action: ``key.patch``, ``key.rotate`` or ``key.revoke``.
            by: Who.
            expected: Revision at which the change is meant.
        """

        def change(before: ApiKey, after: ApiKey) -> Change:
            return decisions.key_changed(before, after, action)

        return await self._records.change(_KEY, key_id, edit, change, by, expected)

    async def ensure_standard_tiers(self) -> None:
        """Make the standard tiers if there are none at all."""
        now = self._records.now()
        tiers = tuple(
            msgspec.structs.replace(tier, created_at=now, updated_at=now) for tier in STANDARD_TIERS
        )
        with suppress(Moved):
            await self._records.commit(decisions.first_tiers(tiers), SYSTEM)
