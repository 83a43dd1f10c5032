"""From a claimed job to what came of it: its spec is opened, its version found, its task done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from msgspec import Struct

from control_plane.errors import ModelUnavailable, NotAvailable, TidegateError
from control_plane.inference.lanes import Lanes
from control_plane.jobs import layout
from control_plane.jobs.shapes import Claim, Job, Spec, Task
from control_plane.jobs.work.streams import run_stream
from control_plane.jobs.work.tasks import Done, Work, batch, predict, whole
from control_plane.jobs.work.turns import Turns
from control_plane.offer import Offer
from control_plane.routing.selection import Route
from control_plane.sealing import Sealer, Unsealable
from control_plane.types import ObjectSource

log = logging.getLogger(__name__)

_SPEC: Final = msgspec.json.Decoder(Spec)
_NOT_HERE: Final = frozenset({"MODEL_NOT_FOUND", "MODEL_VERSION_NOT_FOUND", "MODEL_REQUIRED"})
"""It was there at the submission: this worker has not read it yet, or another has it."""


class Failed(Struct, frozen=True):
    """Why nothing came of a job.

    Attributes:
        error: What the client is told, if it is the last attempt.
        request_id: Of the submission; empty if that could not be read.
    """

    error: TidegateError
    request_id: str


class Executor:
    """Does the work of jobs, one attempt at a time each."""

    def __init__(self, offer: Offer, lanes: Lanes, sealer: Sealer, source: ObjectSource) -> None:
        """Work with what is offered.

        Args:
            offer: Contracts and the lives of versions.
            lanes: Queues to what is ready.
            sealer: Opens specs.
            source: Opens large inputs.
        """
        self._offer = offer
        self._lanes = lanes
        self._sealer = sealer
        self._source = source
        self._turns = Turns()

    def is_able(self) -> bool:
        """True if any version can answer now."""
        return any(
            self._lanes.is_ready(contract.backing) for contract in self._offer.contracts.values()
        )

    async def attempt(self, claim: Claim, progress: Callable[[float], None]) -> Done | Failed:
        """Do what a job asks for; every failure is an error of the catalogue.

        Args:
            claim: The job.
            progress: Told what is done, 0 to 100.
        """
        request_id = ""
        try:
            spec = self._open(claim)
            request_id = spec.request_id
            return await self._do(claim.job, spec, progress)
        except TidegateError as error:
            return Failed(error, request_id)
        except Exception:
            log.exception("an attempt at a job failed", extra={"job": claim.job.id})
            internal = TidegateError("The job could not be worked on", code="INTERNAL")
            return Failed(internal, request_id)

    def _open(self, claim: Claim) -> Spec:
        try:
            return _SPEC.decode(self._sealer.unseal(claim.spec, layout.spec_place(claim.job.id)))
        except (Unsealable, msgspec.DecodeError):
            log.error("a job cannot be read: another data key?", extra={"job": claim.job.id})  # noqa: TRY400 - no payload
            raise TidegateError("The job cannot be read", code="INTERNAL") from None

    async def _do(self, job: Job, spec: Spec, progress: Callable[[float], None]) -> Done:
        if job.task is Task.EXPLAIN:
            raise NotAvailable("Explanations are not offered", details={"task": job.task})
        contract = self._offer.contracts[self._route(job).ref]
        work = Work(job, spec, contract, self._lanes.lane(contract.backing), self._turns, progress)
        if spec.objects:
            return await self._stream(work)
        return await (batch if job.task is Task.BATCH else predict)(work)

    async def _stream(self, work: Work) -> Done:
        async with AsyncExitStack() as opening:
            opened = {
                name: await opening.enter_async_context(self._source.open(work.job.tenant, pinned))
                for name, pinned in work.spec.objects.items()
            }
            declared = {name: pinned.media_type for name, pinned in work.spec.objects.items()}
            fields = await run_stream(
                work.contract,
                work.spec.inputs,
                opened,
                work.lane,
                work.progress,
                media_types=declared,
            )
        return Done(whole(work, fields))

    def _route(self, job: Job) -> Route:
        """The pinned version, as long as it may answer.

        Raises:
            TidegateError: MODEL_VERSION_RETIRED, or MODEL_UNAVAILABLE.
        """
        try:
            return self._offer.router.resolve(job.model, job.version)
        except TidegateError as error:
            if error.code in _NOT_HERE:
                raise ModelUnavailable("The model version is not offered here now") from None
            raise
