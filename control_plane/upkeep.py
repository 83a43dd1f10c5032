"""Keeps what a process offers current: the repository's files, Triton's readiness, the records.

::

    contract.yaml ─► Reading ─► contracts ─┬─► Offer ◄── states ◄── Follower ◄── system of record
                                           └─► Lanes ◄── BackendPool ◄── Triton
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis

from control_plane.contracts.check import disagreements
from control_plane.contracts.compatibility.compare import compare
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import CONTRACT, Reading, read_repository
from control_plane.contracts.source import FaultyContract
from control_plane.contracts.trials import trials
from control_plane.inference.examination import Example, LaneSpec
from control_plane.inference.lane import CallReport
from control_plane.inference.lanes import Lanes
from control_plane.inference.pool import BackendPool
from control_plane.inference.triton import TritonBackend
from control_plane.offer import Offer
from control_plane.routing.follower import Follower
from control_plane.routing.seeding import Seen
from control_plane.routing.state import ModelState
from control_plane.routing.store import Found
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.types import FileFault, ModelRef, ModelSignature, Version

log = logging.getLogger(__name__)

Report = Callable[[ModelRef, CallReport], None]
PRESSED: Final = 4
"""Inputs that wait for calls at which a process has no room for shadows."""
KNOWN_S: Final = 2.0
"""What a start waits for the states of models, seconds; a server that is away does not stop it."""


class Upkeep:
    """What a process offers, kept current.

    Attributes:
        reading: What the repository holds, as it was read last.
        offer: The contracts under the states of their models.
        lanes: The queues to what is ready.
        pool: The Triton servers.
        follower: Hears of the states.
    """

    def __init__(
        self,
        settings: Settings,
        records: redis.Redis,
        *,
        report: Report,
        told: Callable[[Reading], None],
    ) -> None:
        """Read the repository; nothing is asked of a server before :meth:`start`.

        Args:
            settings: As they were read at the start.
            records: The system of record.
            report: Told of every call to Triton.
            told: Told of every reading of the repository.

        Raises:
            FaultyContract: If the repository cannot be read at all.
        """
        self._root = Path(settings.model_repository)
        self._drain_s = settings.drain_s
        self._told = told
        self._refreshing: set[asyncio.Task[None]] = set()
        self._known = asyncio.Event()
        self._reading = asyncio.Lock()
        self.reading = read_repository(self._root)
        self.pool = BackendPool(
            [TritonBackend(address) for address in settings.triton_urls],
            interval_s=settings.health_interval_s,
            timeout_s=settings.health_timeout_s,
        )
        self.lanes = Lanes(
            _specs(self.reading),
            self.pool,
            slots=settings.calls_in_flight,
            max_waiting=settings.max_waiting,
            timeout_s=settings.health_timeout_s,
            report=report,
            drain_s=settings.drain_s,
        )
        self.offer = Offer(_by_ref(self.reading), settings.default_model)
        self.follower = Follower(records, self._follow, self._begin_refresh)
        told(self.reading)

    async def start(self) -> None:
        """Find out what Triton has ready and where the models stand, in a few seconds at most."""
        await self.follower.start()
        self.follower.seed(self.found())
        await self.pool.start()
        await self.lanes.settle()
        with suppress(TimeoutError):
            async with asyncio.timeout(KNOWN_S):
                await self._known.wait()

    async def close(self) -> None:
        """Answer what waits within the time to drain, and let go of every server."""
        await end(self._refreshing)
        await self.follower.close()
        await self.lanes.close(self._drain_s)
        await self.pool.close()

    async def refresh(self) -> Reading:
        """Read the repository again, and offer what it holds now.

        A version that is there already keeps the contract that it had: clients rely on it.
        """
        async with self._reading:  # or one that began earlier would undo a later one
            try:
                reading = await asyncio.to_thread(read_repository, self._root)
            except FaultyContract as error:
                reading = Reading(self.reading.contracts, error.faults)
            self.reading = _kept(self.reading, reading)
            self.lanes.replace(_specs(self.reading))
            for compiled in self.reading.contracts:
                self.lanes.again(compiled.backing)
            self.offer.adopt(_by_ref(self.reading))
            self._told(self.reading)
            self.follower.seed(self.found())
            return self.reading

    def labels(self, model: str, version: str) -> list[str] | None:
        """What a version may predict; None if it has no labels, or is not here."""
        found = self.offer.contracts.get(ModelRef(model, Version.parse(version)))
        return None if found is None else found.contract.answer.labels

    def is_pressed(self) -> bool:
        """True while requests wait for calls, so that whatever is not one of them has to wait."""
        return self.lanes.pressure >= PRESSED

    def _begin_refresh(self) -> None:
        task = asyncio.get_running_loop().create_task(self._refresh())
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _refresh(self) -> None:
        await self.refresh()

    def _follow(self, states: Mapping[str, ModelState]) -> None:
        self.offer.follow(states)
        if all(model.is_known for model in self.offer.router.catalog.models.values()):
            self._known.set()

    def found(self) -> dict[str, Found]:
        """What the repository has of each model, for those who give lives to versions."""
        models: dict[str, dict[Version, CompiledContract]] = {}
        for compiled in self.reading.contracts:
            models.setdefault(compiled.ref.name, {})[compiled.ref.version] = compiled
        return {name: partial(_seen, versions) for name, versions in models.items()}


@asynccontextmanager
async def kept_current(upkeep: Upkeep) -> AsyncIterator[Upkeep]:
    """Start the upkeep, and close it at the end."""
    try:
        await upkeep.start()
        yield upkeep
    finally:
        await upkeep.close()


def lane_spec(compiled: CompiledContract) -> LaneSpec:
    """What inference needs of a contract, its examples as the test of a version included."""

    def differences(signature: ModelSignature) -> list[str]:
        return [found.message for found in disagreements(compiled, signature)]

    return LaneSpec(
        ref=compiled.ref,
        codec=compiled.codec,
        disagreements=differences,
        deadline_s=compiled.contract.deadline_ms / 1000,
        examples=tuple(Example(trial.item, trial.complaint) for trial in trials(compiled)),
        source=compiled.contract,
    )


def _specs(reading: Reading) -> dict[Any, LaneSpec]:
    return {compiled.backing: lane_spec(compiled) for compiled in reading.contracts}


def _by_ref(reading: Reading) -> dict[ModelRef, CompiledContract]:
    return {compiled.ref: compiled for compiled in reading.contracts}


def _seen(
    versions: Mapping[Version, CompiledContract], state: ModelState | None
) -> dict[str, Seen]:
    """The versions of a model, and by what they break the contract of its stable version."""
    stable = None
    if state is not None and state.stable is not None:
        stable = versions.get(Version.parse(state.stable))
    known = {} if state is None else state.versions
    found = {}
    for version, compiled in versions.items():
        breaks: tuple[str, ...] = ()
        if stable is not None and stable is not compiled and str(version) not in known:
            changes = compare(stable, compiled).changes
            breaks = tuple(change.what for change in changes if change.breaking)
        found[str(version)] = Seen(compiled.contract.status, breaks)
    return found


def _kept(before: Reading, after: Reading) -> Reading:
    """A later reading in which versions that were there keep their contracts.

    So does one whose file is faulty now; one whose file is gone has left.
    """
    former = _by_ref(before)
    found = _by_ref(after)
    faulty = {fault.file for fault in after.faults}
    faults = list(after.faults)
    contracts = [
        known
        for ref, known in former.items()
        if ref not in found and f"{known.backing}/{CONTRACT}" in faulty
    ]
    for compiled in after.contracts:
        known = former.get(compiled.ref)
        same = known is None or (known.contract, known.backing) == (
            compiled.contract,
            compiled.backing,
        )
        if known is None or same:
            contracts.append(compiled)
            continue
        message = f"the contract of {compiled.ref} was changed: the former stays in force"
        remedy = "Give what changed a version of its own"
        faults.append(FileFault(f"{compiled.backing}/{CONTRACT}", 0, message, remedy))
        contracts.append(known)
    return Reading(sorted(contracts, key=lambda compiled: compiled.ref), faults)
