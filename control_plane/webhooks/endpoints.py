"""Endpoints and secrets: records of the system of record, audited, secrets and addresses sealed."""

from __future__ import annotations

import re
import secrets as randomness
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import redis.asyncio as redis

from control_plane.egress.address import read_url
from control_plane.errors import TidegateError
from control_plane.records.pages import Page
from control_plane.records.server import Kind, RecordServer, repeated
from control_plane.records.transaction import SYSTEM, Actor, Change, Moved, not_found
from control_plane.sealing import Sealer
from control_plane.webhooks import decisions, layout, signing
from control_plane.webhooks.shapes import ENDPOINT_ID, Endpoint, Event, TenantSecret

_ENDPOINT: Final = Kind(Endpoint, layout.endpoint_record, ENDPOINT_ID)
_SECRET: Final = Kind(TenantSecret, layout.secret_record, re.compile(r"[a-z0-9][a-z0-9_-]{0,62}"))


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant says of an endpoint.

    Attributes:
        url: The address; it has been checked.
        events: What it is told of; empty for everything.
        description: For people.
        enabled: False if nothing is sent to it.
    """

    url: str
    events: tuple[Event, ...] = ()
    description: str = ""
    enabled: bool = True


class Endpoints:
    """A tenant's endpoints, and the secrets that sign for them.

    Every method raises :class:`AdmissionUnavailable` if the system of record does not answer
    within two seconds; a change may then have been made or not. What does not exist, and what is
    another tenant's, is ``NOT_FOUND``.
    """

    def __init__(self, server: redis.Redis, sealer: Sealer, per_tenant: int) -> None:
        """Keep endpoints on a server.

        Args:
            server: The system of record. It must not repeat commands by itself.
            sealer: Encrypts secrets and addresses.
            per_tenant: Endpoints that one tenant may have.
        """
        self._records = RecordServer(server)
        self._sealer = sealer
        self._per_tenant = per_tenant

    async def read(self, tenant: str, name: str) -> Endpoint:
        """An endpoint."""
        found = await self._records.read(_ENDPOINT, name)
        if found.tenant != tenant:
            raise not_found()
        return found

    async def page(self, tenant: str, after: str | None, limit: int) -> Page[Endpoint]:
        """A tenant's endpoints by id.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        index = layout.endpoints_of(tenant)
        return await self._records.page(_ENDPOINT, index, after, limit)

    async def all(self, tenant: str) -> list[Endpoint]:
        """All endpoints of a tenant."""
        return await self._records.all(_ENDPOINT, layout.endpoints_of(tenant))

    async def create(self, tenant: str, draft: Draft, by: Actor) -> Endpoint:
        """Make an endpoint with a secret of its own.

        Raises:
            TidegateError: TOO_MANY_OPEN.
        """
        name = f"we_{randomness.token_hex(12)}"
        empty = self._rotated(Endpoint(id=name, tenant=tenant, url="", host=""), 0)
        endpoint = self._drafted(empty, draft)

        async def step() -> Endpoint:
            count = len(await self.all(tenant))

            def made(record: Endpoint) -> Change:
                return decisions.endpoint_created(record, count, self._per_tenant)

            return await self._records.create(endpoint, made, by)

        return await repeated(step, None)

    async def change(
        self, tenant: str, name: str, edit: Callable[[Draft], Draft], by: Actor
    ) -> Endpoint:
        """Change an endpoint; ``edit`` may be called more than once."""

        def edited(before: Endpoint) -> Endpoint:
            was = self.draft(before)
            draft = edit(was)
            return before if draft == was else self._drafted(before, draft)

        return await self._changed(tenant, name, edited, "patch", by)

    async def disable(self, tenant: str, name: str) -> None:
        """Send an endpoint nothing any more, as it answered that it is gone."""

        def edited(before: Endpoint) -> Endpoint:
            return msgspec.structs.replace(before, enabled=False, gone=True)

        await self._changed(tenant, name, edited, "disable", SYSTEM)

    async def delete(self, tenant: str, name: str, by: Actor) -> None:
        """Delete an endpoint; what waits to be sent to it fails when its turn comes."""

        async def step() -> None:
            found = await self.read(tenant, name)
            await self._records.commit(decisions.endpoint_deleted(found), by)

        await repeated(step, None)

    async def rotate(self, tenant: str, name: str, overlap_s: int, by: Actor) -> Endpoint:
        """Give an endpoint another secret; the old one signs, too, for some seconds."""

        def edited(before: Endpoint) -> Endpoint:
            return self._rotated(before, overlap_s)

        return await self._changed(tenant, name, edited, "rotate", by)

    async def default(self, tenant: str) -> TenantSecret:
        """What signs for the addresses that a tenant's jobs name; made when it is first asked."""
        try:
            return await self._records.read(_SECRET, tenant)
        except TidegateError as error:
            if error.code != "NOT_FOUND":
                raise
        fresh = self._rotated(TenantSecret(tenant=tenant), 0)
        with suppress(Moved):
            return await self._records.create(fresh, decisions.secret_created, SYSTEM)
        return await self._records.read(_SECRET, tenant)

    async def rotate_default(self, tenant: str, overlap_s: int, by: Actor) -> TenantSecret:
        """Give a tenant another default secret; see :meth:`rotate`."""
        await self.default(tenant)

        def edited(before: TenantSecret) -> TenantSecret:
            return self._rotated(before, overlap_s)

        def changed(before: TenantSecret, after: TenantSecret) -> Change:
            return decisions.changed(before, after, "rotate")

        return await self._records.change(_SECRET, tenant, edited, changed, by, None)

    def draft(self, endpoint: Endpoint) -> Draft:
        """What an endpoint's tenant said of it.

        Raises:
            Unsealable: If it was kept with another data key.
        """
        place = _url_place(endpoint.id)
        return Draft(
            url=self._sealer.unseal(endpoint.url, place).decode(),
            events=endpoint.events,
            description=endpoint.description,
            enabled=endpoint.enabled,
        )

    def opened(self, record: decisions.Record, now: float) -> list[str]:
        """The secrets that sign now, serialized, the latest first.

        Args:
            record: Whose.
            now: Epoch seconds.

        Raises:
            Unsealable: If they were kept with another data key.
        """
        is_overlap = now < record.secret_until
        return [
            self._sealer.unseal(sealed, _secret_place(record)).decode()
            for sealed in record.secrets[: 2 if is_overlap else 1]
        ]

    async def _changed(
        self,
        tenant: str,
        name: str,
        edit: Callable[[Endpoint], Endpoint],
        action: str,
        by: Actor,
    ) -> Endpoint:
        def owned(before: Endpoint) -> Endpoint:
            if before.tenant != tenant:
                raise not_found()
            return edit(before)

        def changed(before: Endpoint, after: Endpoint) -> Change:
            return decisions.changed(before, after, action)

        return await self._records.change(_ENDPOINT, name, owned, changed, by, None)

    def _drafted(self, endpoint: Endpoint, draft: Draft) -> Endpoint:
        return msgspec.structs.replace(
            endpoint,
            url=self._sealer.seal(draft.url.encode(), _url_place(endpoint.id)),
            host=read_url(draft.url).authority,
            events=draft.events,
            description=draft.description,
            enabled=draft.enabled,
            gone=endpoint.gone and not draft.enabled,
        )

    def _rotated(self, record: decisions.R, overlap_s: int) -> decisions.R:
        kept: tuple[str, ...] = record.secrets[:1] if overlap_s else ()
        until = self._records.now() + overlap_s if kept else 0
        latest = self._sealer.seal(signing.mint().encode(), _secret_place(record))
        return msgspec.structs.replace(record, secrets=(latest, *kept), secret_until=until)


def _secret_place(record: decisions.Record) -> str:
    return f"{decisions.key_of(record)}:secret"


def _url_place(name: str) -> str:
    return f"{layout.endpoint_record(name)}:url"
