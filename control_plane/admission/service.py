"""Opens and closes everything that admission works with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Final

import redis.asyncio as redis
from msgspec import Struct

from control_plane.admission.abuse.reporter import Reporter
from control_plane.admission.abuse.sightings import Sightings
from control_plane.admission.abuse.watch import Watch
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity.address import Addresses
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.grants import NoIssuers, Verifier
from control_plane.admission.identity.identity import Hooks, Identity
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.offences import BadCredentials
from control_plane.admission.limits.replicas import Replicas
from control_plane.admission.usage.reading import Usage
from control_plane.errors import AdmissionUnavailable
from control_plane.issuers import OidcIssuer
from control_plane.settings import Settings
from control_plane.tasks import end

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0
"""What the reports of the last requests get at a clean stop, in seconds."""
SERVER_S: Final = 2.0


class Admission(Struct, frozen=True):
    """What the doors ask.

    Attributes:
        identity: Who calls.
        addresses: From where.
        gate: Whether it may proceed.
        watch: Told of every request that ended.
        usage: What tenants used.
        counters: A client of the limits server.
    """

    identity: Identity
    addresses: Addresses
    gate: Gate
    watch: Watch
    usage: Usage
    counters: redis.Redis


@asynccontextmanager
async def open_admission(
    settings: Settings, records: redis.Redis, refused: Callable[[str], None]
) -> AsyncIterator[Admission]:
    """Open everything, yield it, close everything; servers that are away do not stop it.

    Args:
        settings: As read at the start.
        records: The system of record.
        refused: Told of every refusal of the accounts.
    """
    async with AsyncExitStack() as opened:
        limits_url = settings.limits_redis_url or settings.redis_url
        limits = redis.Redis.from_url(
            limits_url, socket_timeout=SERVER_S, socket_connect_timeout=SERVER_S
        )
        opened.push_async_callback(limits.aclose)
        link = Link(limits_url)
        opened.callback(link.close)
        ledger = Ledger(link)
        replicas = Replicas(limits)
        _beside(opened, replicas.follow())
        watch = Watch()
        _beside(opened, Reporter(watch, Sightings(limits)).run())
        directory = Directory(records)
        await directory.start()
        opened.push_async_callback(directory.close)
        tokens = await _open_verifier(opened, settings.oidc_issuers)
        store = Store(records)
        _beside(opened, seed(store))
        bad = BadCredentials(ledger)
        opened.push_async_callback(bad.close)
        addresses = Addresses(settings.trusted_proxies)
        gate = Gate(ledger, replicas=lambda: replicas.count, refused=refused)
        opened.push_async_callback(gate.close, CLOSE_S)

        def refused_credential(network: str, name: str) -> None:
            bad.note(network)
            watch.refused(network, name)

        identity = Identity(
            directory,
            tokens,
            addresses,
            Hooks(store.provision, refused_credential, bad.slowed),
            key_pepper=settings.key_pepper,
            bootstrap_admin_key=settings.bootstrap_admin_key,
        )
        yield Admission(
            identity=identity,
            addresses=addresses,
            gate=gate,
            watch=watch,
            usage=Usage(limits),
            counters=limits,
        )


async def _open_verifier(opened: AsyncExitStack, issuers: Sequence[OidcIssuer]) -> Verifier:
    """Load what verifies tokens where there is an issuer of any: 10 MiB in every process."""
    if not issuers:
        return NoIssuers()
    tokens = import_module("control_plane.admission.identity.tokens")
    verifier: Verifier = await opened.enter_async_context(tokens.open_tokens(issuers))
    return verifier


async def seed(store: Store) -> None:
    """Make the standard tiers as soon as the system of record answers, if there are none."""
    while True:
        try:
            await store.ensure_standard_tiers()
        except AdmissionUnavailable:
            await asyncio.sleep(1)
        else:
            return


def _beside(opened: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    """Run something beside the requests until the end."""
    task = asyncio.get_running_loop().create_task(work)

    async def stop() -> None:
        await end([task])

    opened.push_async_callback(stop)
