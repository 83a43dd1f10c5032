"""The records of models and their rollouts: read, and changed in atomic steps, audited and told."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

import redis.asyncio as redis
from msgspec import structs

from control_plane.records.pages import Page
from control_plane.records.record import Record
from control_plane.records.server import Kind, RecordServer, repeated
from control_plane.records.transaction import SYSTEM, Actor
from control_plane.routing import layout, seeding
from control_plane.routing.decisions.changes import model_changed, repository_refreshed
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.undoing import undo
from control_plane.routing.identifiers import ENDED_ROLLOUT
from control_plane.routing.seeding import Seen
from control_plane.routing.state import EndedRollout, ModelState
from control_plane.types import MODEL_NAME

KEPT_ENDS: Final = 10
"""Earlier ends of a rollout that are kept with its last one."""

Found = Callable[[ModelState | None], Mapping[str, Seen]]
"""The versions in the repository, and how they compare with the stable version of a state."""

_MODEL: Final = Kind(ModelState, layout.model_record, MODEL_NAME)
_ENDED: Final = Kind(EndedRollout, layout.rollout_record, ENDED_ROLLOUT)
_REPOSITORY: Final = Kind(Record, lambda _: layout.REPOSITORY, re.compile("models"))


class ModelStore:
    """Models, and the rollouts that have ended.

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

    def now(self) -> int:
        """Epoch second, by the clock that records are dated with."""
        return self._records.now()

    async def model(self, name: str) -> ModelState:
        """A model."""
        return await self._records.read(_MODEL, name)

    async def models(self, after: str | None, limit: int) -> Page[ModelState]:
        """Models by name.

        Args:
            after: Cursor of the page; None for the first.
            limit: Items at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        return await self._records.page(_MODEL, layout.MODELS, after, limit)

    async def all(self) -> list[ModelState]:
        """Every model."""
        return await self._records.all(_MODEL, layout.MODELS)

    async def seen(self, name: str, found: Found, by: Actor = SYSTEM) -> ModelState | None:
        """Keep the versions of a model that have not been seen before; see ``seeding.py``.

        Args:
            name: Of the model.
            found: What the repository has of it; may be called more than once.
            by: Who looked.

        Returns:
            The model's state; None if there is none, and nothing was found.
        """

        async def step() -> ModelState | None:
            before = await self._records.find(_MODEL, name)
            after = seeding.seen(name, before, found(before), self.now())
            if after is None:
                return before
            after = self._records.dated(after, before)
            await self._records.commit(model_changed(before, after, "model.seen"), by)
            return after

        return await repeated(step, None)

    async def change(
        self,
        name: str,
        decide: Callable[[ModelState], Decided],
        by: Actor,
        expected: int | None = None,
    ) -> ModelState:
        """Change a model as decided; what changes nothing leaves no trace.

        Args:
            name: Of the model.
            decide: May be called more than once.
            by: Who.
            expected: Revision at which the change is meant.
        """

        async def step() -> ModelState:
            before = await self._records.read_at(_MODEL, name, expected)
            return await self._commit(before, decide(before), by)

        return await repeated(step, expected)

    async def rollout(self, rollout: str) -> EndedRollout:
        """A rollout that has ended."""
        return await self._records.read(_ENDED, rollout)

    async def rollouts(self, model: str, after: str | None, limit: int) -> Page[EndedRollout]:
        """A model's rollouts that have ended, in the order in which they were started.

        See :meth:`models`.
        """
        await self.model(model)
        return await self._records.page(_ENDED, layout.rollouts_of(model), after, limit)

    async def undo(self, rollout: str, by: Actor, expected: int | None = None) -> ModelState:
        """Take back the end of a rollout; see ``decisions/undoing.py``.

        Args:
            rollout: Id of one that has ended.
            by: Who.
            expected: Revision of what is kept of its end.

        Raises:
            TidegateError: ``LIFE_CONFLICT`` if what has come since does not allow it.
        """

        async def step() -> ModelState:
            ended = await self._records.read_at(_ENDED, rollout, expected)
            before = await self.model(ended.model)
            return await self._commit(before, undo(before, ended, self.now()), by, ended)

        return await repeated(step, expected)

    async def repository_revision(self) -> int:
        """How often the repository was to be read again; 0 if never."""
        found = await self._records.find(_REPOSITORY, "models")
        return 0 if found is None else found.revision

    async def refresh(self, by: Actor) -> int:
        """Have every process read the model repository again; its revision afterwards."""

        async def step() -> int:
            before = await self._records.find(_REPOSITORY, "models")
            after = self._records.dated(Record(), before)
            await self._records.commit(repository_refreshed(before, after), by)
            return after.revision

        return await repeated(step, None)

    async def _commit(
        self,
        before: ModelState,
        decided: Decided,
        by: Actor,
        earlier: EndedRollout | None = None,
    ) -> ModelState:
        """Write what was decided on a state, and on what was kept of a rollout's end."""
        if decided.state == before:
            return before
        after, ended = self._records.dated(decided.state, before), None
        if decided.ended is not None:
            earlier = earlier or await self._records.find(_ENDED, decided.ended.id)
            ended = (earlier, self._records.dated(_after(earlier, decided.ended), earlier))
        await self._records.commit(model_changed(before, after, decided.action, ended), by)
        return after


def _after(earlier: EndedRollout | None, ended: EndedRollout) -> EndedRollout:
    """An end with what is kept of those before it, which were undone."""
    if earlier is None or not earlier.undone or ended.undone:
        return ended
    former = {
        "outcome": earlier.outcome,
        "by": earlier.by,
        "reason": earlier.reason,
        "report": earlier.report,
        "updated_at": earlier.updated_at,
    }
    return structs.replace(ended, earlier=(*earlier.earlier, former)[-KEPT_ENDS:])
