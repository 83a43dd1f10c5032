"""Takes jobs in: validates, pins the version, admits, keeps.

Submissions that come together are kept together: one call, and one write to the disk for all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.permit import Permit
from control_plane.choice import Chooser, Pinned, PredictCall
from control_plane.coalesce import Closed, Coalescer, QueueFull
from control_plane.errors import MalformedRequest, Overloaded, TidegateError
from control_plane.jobs import layout
from control_plane.jobs.doubts import Doubts, is_doubtful
from control_plane.jobs.identifiers import job_id as new_job_id
from control_plane.jobs.pricing import Accepted, accepted_by, price_of
from control_plane.jobs.replies import Submitted
from control_plane.jobs.requests import JobRequest
from control_plane.jobs.shapes import Priority, Size, Spec, Submission, Task
from control_plane.jobs.store import JobStore
from control_plane.sealing import Sealer
from control_plane.tasks import end
from control_plane.types import ObjectSource, PinnedObject

DECISION_S: Final = 2.0
"""What admission may take, seconds."""
KEEP_S: Final = 5.0
"""What keeping a job may take, seconds."""
MAX_CALL: Final = 256
CALLS: Final = 2
MAX_WAITING: Final = 10_000

_PRIORITIES: Final = {"high": Priority.HIGH, "normal": Priority.NORMAL, "low": Priority.LOW}
_encode: Final = msgspec.json.Encoder().encode


class Terms(Struct, frozen=True, kw_only=True):
    """What the headers of a submission say.

    Attributes:
        major: API major of the result.
        cancel_after_ms: Milliseconds from now after which the job expires; 0 for never.
        key: Digest of the idempotency key; empty without one.
        digest: Of the request, told apart under that key.
    """

    major: int = 1
    cancel_after_ms: int = 0
    key: str = ""
    digest: str = ""


class Intake:
    """The way in, of one process."""

    def __init__(
        self,
        store: JobStore,
        doubts: Doubts,
        chooser: Chooser,
        gate: Gate,
        sealer: Sealer,
        objects: ObjectSource,
        check_url: Callable[[str], Awaitable[None]],
    ) -> None:
        """Take jobs in.

        Args:
            store: Keeps them.
            doubts: Told of those of which it cannot be said.
            chooser: Pins their versions.
            gate: Lets them in.
            sealer: Encrypts what they are made of.
            objects: Where large inputs lie.
            check_url: Raises ADDRESS_REFUSED for what no webhook may be sent to.
        """
        self._store = store
        self._doubts = doubts
        self._chooser = chooser
        self._gate = gate
        self._sealer = sealer
        self._objects = objects
        self._check_url = check_url
        self._loop = asyncio.get_running_loop()
        self._keeping: set[asyncio.Task[Submitted]] = set()
        self._coalescer: Coalescer[Submission, Submitted] = Coalescer(
            self._keep, max_batch=MAX_CALL, slots=CALLS, max_waiting=MAX_WAITING, abandon=False
        )

    async def submit(
        self, call: PredictCall, request: JobRequest, terms: Terms
    ) -> tuple[Submission, Submitted]:
        """Take a job in. It is paid for, and outlives the process, once this returns.

        Args:
            call: Who asks; its body is not looked at.
            request: For what.
            terms: On what terms.

        Returns:
            What was to be kept, and what was: a replayed one is another job's.

        Raises:
            TidegateError: Any error of routing, rights, validation, objects and admission;
                TOO_MANY_JOBS, IDEMPOTENCY_CONFLICT, OVERLOADED or JOBS_UNAVAILABLE.
        """
        if request.webhook_url is not None:
            await self._check_url(request.webhook_url)
        taken = accepted_by(self._chooser, request.task, call.principal.limits.max_batch)
        pinned = self._chooser.pin(call, request.envelope, taken)
        objects = await self._pin_objects(call.principal.tenant, pinned)
        price = price_of(pinned.contract, request.task, pinned.inputs, objects)
        submission = self._submission(call, request, terms, pinned, objects, price.units)
        permit = self._gate.take(call.principal, price)
        if permit is None:
            deadline = self._loop.time() + DECISION_S
            permit = await self._gate.admit(call.principal, price, deadline)
        if call.admitted is not None:
            call.admitted(permit)
        keeping = self._loop.create_task(self._settled(submission, permit))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        # Whoever goes away now may have a job, and then pays for it.
        return submission, await asyncio.shield(keeping)

    async def close(self, timeout_s: float) -> None:
        """Keep what has been admitted; then take no more.

        Args:
            timeout_s: What that may take, seconds.
        """
        await self._coalescer.close(timeout_s)
        await end(self._keeping)

    def _submission(
        self,
        call: PredictCall,
        request: JobRequest,
        terms: Terms,
        pinned: Pinned,
        objects: dict[str, PinnedObject],
        units: int,
    ) -> Submission:
        job_id, principal = new_job_id(time.time()), call.principal
        spec = Spec(
            inputs=pinned.inputs.inputs,
            options=request.options,
            objects=objects,
            major=terms.major,
            request_id=call.request_id,
            webhook_url=request.webhook_url,
        )
        is_long = request.task is Task.BATCH or bool(objects)
        return Submission(
            id=job_id,
            tenant=principal.tenant,
            client=principal.client,
            model=pinned.contract.ref.name,
            version=pinned.contract.version,
            task=request.task,
            size=Size.LONG if is_long else Size.SHORT,
            priority=_PRIORITIES[principal.limits.priority],
            units=units,
            spec=self._sealer.seal(_encoded(spec), layout.spec_place(job_id)),
            hook=self._hook(job_id, request.webhook_url),
            start_at_ms=request.start_at_ms,
            cancel_after_ms=terms.cancel_after_ms,
            key=terms.key,
            digest=terms.digest,
        )

    def _hook(self, job_id: str, url: str | None) -> str:
        return "" if url is None else self._sealer.seal(url.encode(), layout.hook_place(job_id))

    async def _pin_objects(self, tenant: str, pinned: Pinned) -> dict[str, PinnedObject]:
        accepted: Accepted = pinned.inputs
        stream, name = pinned.contract.stream, accepted.object
        if stream is None or name is None:
            return {}
        return {name: await self._objects.pin(tenant, accepted.inputs[name], stream.rule)}

    async def _settled(self, submission: Submission, permit: Permit) -> Submitted:
        """Keep a job and end its permit: what made no job is not paid."""
        try:
            member = self._coalescer.enter(submission, None, self._loop.time() + KEEP_S)
            submitted = await self._coalescer.wait(member)
        except QueueFull:
            permit.refund()
            raise Overloaded("Too many jobs are waiting to be kept") from None
        except (Closed, TimeoutError):
            permit.refund()
            raise TidegateError(
                "The job was not kept in time, or the server is shutting down",
                code="JOBS_UNAVAILABLE",
                headers={"retry-after": "1"},
            ) from None
        except BaseException as error:
            if is_doubtful(error) and self._doubts.note(submission):
                permit.confirm(0.0)
            else:
                permit.refund()
            raise
        if submitted.replayed:
            permit.refund(failed=False)
        else:
            permit.confirm(0.0)
        return submitted

    async def _keep(
        self, submissions: list[Submission], _: float
    ) -> Sequence[Submitted | Exception]:
        return await self._store.submit(submissions)


def _encoded(spec: Spec) -> bytes:
    """A spec as it is kept.

    Raises:
        MalformedRequest: If the items of a batch, not yet validated, are nested so deep that they
            could be read but cannot be written.
    """
    try:
        return _encode(spec)
    except RecursionError:
        raise MalformedRequest("The body is nested too deep") from None
