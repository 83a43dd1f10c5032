"""What the admin process knows and does about versions: repository, records and Tritons at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import redis.asyncio as redis

from control_plane.contracts.compatibility.changes import Comparison
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import Reading
from control_plane.errors import Fault, InvalidInput, TidegateError
from control_plane.inference.keeper import ModelReport
from control_plane.inference.reconciler import Reconciler
from control_plane.inference.target import Target
from control_plane.records.transaction import Actor
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.state import ModelState
from control_plane.routing.store import ModelStore
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.upkeep import Upkeep, kept_current
from control_plane.versions.gate import compared, gate
from control_plane.versions.shelf import EMPTY, Shelf, Turnover, shelved, turnover
from control_plane.versions.standing import Standing, is_ready_everywhere, standings
from control_plane.versions.target import NOTHING, target

EXAMINED_S: Final = 20.0
"""What an examination before a promotion may take, seconds."""
MAX_NAMED: Final = 50


class VersionKeeper:
    """Knows what may be trusted, and says what the Tritons are to have.

    Attributes:
        shelf: The repository as it was last read.
        reconciler: Holds the Tritons to it.
    """

    def __init__(self, settings: Settings, records: redis.Redis, store: ModelStore) -> None:
        """Read the repository; no server is asked before :func:`kept`.

        Args:
            settings: As they were read at the start.
            records: The system of record.
            store: The same, with the records of models.

        Raises:
            FaultyContract: If the repository cannot be read at all.
        """
        self.shelf: Shelf = EMPTY
        self._root = Path(settings.model_repository)
        self._store = store
        self._former: frozenset[str] = frozenset()
        self._upkeep = Upkeep(
            settings, records, report=lambda _version, _call: None, told=self._took
        )
        backends = [endpoint.backend for endpoint in self._upkeep.pool.endpoints]
        self.reconciler = Reconciler(backends, self.target)

    @property
    def states(self) -> Mapping[str, ModelState]:
        """The states of all models, as this process knows them."""
        return self._upkeep.follower.states

    def target(self) -> Target:
        """What the Tritons are to have; nothing is touched before the records are known."""
        if not self._upkeep.follower.is_known:
            return NOTHING
        return target(self.shelf, self.states, self._former)

    async def refresh(self, by: Actor) -> Turnover:
        """Read the repository again here and in every process; versions that came get a life.

        Args:
            by: Who asks.

        Raises:
            AdmissionUnavailable: If the system of record does not answer.
        """
        before = self.shelf
        await self._upkeep.refresh()
        for model, found in self._upkeep.found().items():
            await self._store.seen(model, found, by)
        await self._store.refresh(by)
        self.reconciler.wake()
        return turnover(before, self.shelf)

    def servers(self, model: str) -> dict[str, list[Standing]]:
        """How far the versions of a model are on each Triton, by version."""
        reports = self._reports()
        upkeep = self._upkeep
        return {
            version: standings(compiled.backing, upkeep.pool, upkeep.lanes, reports)
            for version, compiled in self.shelf.of_model(model).items()
        }

    def gate(self, state: ModelState, version: str, *, allow_breaking: bool) -> Gate:
        """The facts by which a version may take the place of a model's stable one, or not."""
        return gate(
            self.shelf,
            state.name,
            state.stable,
            version,
            self.servers(state.name).get(version, []),
            allow_breaking=allow_breaking,
        )

    async def examine(self, model: str, versions: Iterable[str]) -> None:
        """Try versions' examples anew on every Triton that has them, before they are trusted.

        What takes longer than :data:`EXAMINED_S` is judged by what was found before.
        """
        found = [self.shelf.contract(model, version) for version in versions]
        for compiled in found:
            if compiled is not None:
                self._upkeep.lanes.again(compiled.backing)
        if any(found):
            await self._upkeep.lanes.settle(EXAMINED_S)

    def check_names(self, state: ModelState, proposal: Proposal) -> None:
        """Raise unless the inputs that a proposal names are inputs of the stable version.

        Raises:
            InvalidInput: Naming each that is not.
        """
        stable = self.shelf.contract(state.name, state.stable or "")
        if stable is None:
            return
        known = list(stable.inputs.schema.get("properties", {}))
        named = [(f"keep_inputs[{at}]", name) for at, name in enumerate(proposal.keep_inputs)]
        kind, _, field = proposal.sticky_by.partition(":")
        if kind == "field":
            named.append(("sticky_by", field))
        faults = [
            Fault(
                field=place,
                issue=f"names no input of {state.name} {state.stable}",
                path="/" + place.replace("[", "/").replace("]", ""),
                received=name,
                allowed=known[:MAX_NAMED],
            )
            for place, name in named
            if name not in known
        ]
        if faults:
            raise InvalidInput(faults)

    def compare(self, model: str, before: str, after: str) -> Comparison:
        """What breaks if one version of a model takes the place of another.

        Raises:
            TidegateError: ``MODEL_VERSION_NOT_FOUND``.
        """
        return compared(self.shelf, self._contract(model, before), self._contract(model, after))

    def try_again(self, model: str, version: str) -> None:
        """Let what failed to load, or failed its examples, be tried at once."""
        compiled = self.shelf.contract(model, version)
        found = self.servers(model).get(version, [])
        if compiled is not None and not is_ready_everywhere(found):
            self._upkeep.lanes.again(compiled.backing)
            self.reconciler.again(compiled.backing.model)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep everything current, the Tritons included, until the end."""
        async with kept_current(self._upkeep):
            reconciling = asyncio.create_task(self.reconciler.run())
            try:
                yield
            finally:
                await end([reconciling])

    def _took(self, reading: Reading) -> None:
        self._former |= self.shelf.public
        self.shelf = shelved(reading, self._root)

    def _contract(self, model: str, version: str) -> CompiledContract:
        compiled = self.shelf.contract(model, version)
        if compiled is None:
            raise TidegateError(
                "The repository has no contract of such a version",
                code="MODEL_VERSION_NOT_FOUND",
                details={"versions": list(self.shelf.of_model(model))},
            )
        return compiled

    def _reports(self) -> dict[tuple[str, str], ModelReport]:
        return {(each.server, each.model): each for each in self.reconciler.report()}
