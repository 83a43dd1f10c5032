"""Work that is left: ``POST /jobs``, and predictions whose answer may come later."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from msgspec import Raw

from control_plane.admission.principal import Principal
from control_plane.api.asked import Asked
from control_plane.api.job_views import detail, path_of, view
from control_plane.api.preferences import (
    Preferences,
    read_cancel_after_ms,
    read_key,
    read_preferences,
)
from control_plane.choice import PredictCall
from control_plane.error_codes import CATALOGUE
from control_plane.errors import TidegateError, Unauthenticated
from control_plane.jobs.intake import Terms
from control_plane.jobs.requests import JobRequest, read_job, read_prediction
from control_plane.jobs.service import Taken
from control_plane.jobs.shapes import Job, State
from control_plane.problem import JSON, Headers
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange
from control_plane.wire import GONE

RETRY_S: Final = 1
"""When to look again after a job, seconds."""
REPLAYED: Final = (b"idempotent-replayed", b"true")

Answer = tuple[int, bytes, Headers]
_encode: Final = msgspec.json.Encoder().encode


async def submit(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange
) -> Answer:
    """Answer ``POST /jobs``: 202 with the job, or 200 with all of it if it ended within ``wait``.

    Raises:
        TidegateError: Any error of the submission.
    """
    preferences = read_preferences(asked.headers)
    request = read_job(asked.sent, services.jobs.now_ms())
    taken = await _taken(services, principal, asked, exchange, request)
    job, came_out = await _awaited(services, taken.job, preferences)
    headers = _headers(job, preferences, replayed=taken.replayed)
    headers.append((b"content-type", JSON))
    if not job.state.is_end or preferences.wait_s is None:
        return 202, _encode(view(job)), headers
    return 200, _encode(detail(job, came_out)), headers


async def predict_later(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange
) -> Answer:
    """Answer a prediction with a job, or as always if the job is done within ``wait``.

    Raises:
        TidegateError: Any error of the submission; of a job that ended within ``wait``, its own.
    """
    preferences = read_preferences(asked.headers)
    request = read_prediction(asked.sent)
    taken = await _taken(services, principal, asked, exchange, request)
    job, came_out = await _awaited(services, taken.job, preferences)
    headers = _headers(job, preferences, replayed=taken.replayed)
    if asked.route.major == 0:
        headers.append((b"vary", b"accept"))
    if not job.state.is_end or preferences.wait_s is None:
        headers.append((b"content-type", JSON))
        return 202, _encode(view(job)), headers
    headers.append((b"content-type", asked.media_type))
    return 200, _answer_of(job, came_out), headers


async def _taken(
    services: Services,
    principal: Principal,
    asked: Asked,
    exchange: Exchange,
    request: JobRequest,
) -> Taken:
    if principal.kind == "anonymous":
        raise Unauthenticated("Jobs are of tenants: an API key or an access token is needed")
    call = PredictCall(
        body=None,
        arrived=exchange.started,
        principal=principal,
        model=asked.route.model,
        selector=asked.selector,
        routed=exchange.routed,
        admitted=exchange.admitted,
        request_id=exchange.request_id,
        headers=asked.headers,
    )
    taken = await services.jobs.submit(call, request, _terms(services, principal, asked))
    exchange.units = 0 if taken.replayed else taken.job.units
    return taken


def _terms(services: Services, principal: Principal, asked: Asked) -> Terms:
    cancel_after_ms = read_cancel_after_ms(asked.headers)
    key = read_key(asked.headers)
    if key is None:
        return Terms(major=asked.major, cancel_after_ms=cancel_after_ms)
    return Terms(
        major=asked.major,
        cancel_after_ms=cancel_after_ms,
        key=services.digests.of_key(principal.tenant, key),
        digest=digest_of(services, asked, str(cancel_after_ms)),
    )


def digest_of(services: Services, asked: Asked, *facts: str) -> str:
    """What tells a request apart from others under one idempotency key."""
    route = asked.route
    named = (route.model or "", asked.selector or "", str(asked.major))
    return services.digests.of_request(route.template, *named, *facts, body=asked.sent)


async def _awaited(
    services: Services, job: Job, preferences: Preferences
) -> tuple[Job, Raw | None]:
    """The job once it has ended, with what came out of it; as it was if that cannot be waited for.

    The job is kept by now: whatever goes wrong here, the client is told that it was taken.
    """
    if preferences.wait_s is None:
        return job, None
    try:
        later = await services.jobs.wait(job, preferences.wait_s)
        return later, await services.jobs.result(later)
    except TidegateError:
        return job, None
    except asyncio.CancelledError as error:
        if error.args == (GONE,):
            raise
        return job, None


def _headers(job: Job, preferences: Preferences, *, replayed: bool) -> Headers:
    headers: Headers = [
        (b"location", path_of(job.id).encode()),
        (b"x-model-version", job.version.encode()),
    ]
    if not job.state.is_end:
        headers.append((b"retry-after", b"%d" % RETRY_S))
    applied = preferences.applied(respond_async=True)
    if applied:
        headers.append((b"preference-applied", applied.encode()))
    if replayed:
        headers.append(REPLAYED)
    return headers


def _answer_of(job: Job, came_out: Raw | None) -> bytes:
    """What the synchronous answer would have been.

    Raises:
        TidegateError: If that is an error.
    """
    if job.state is State.COMPLETED and came_out is not None:
        return bytes(came_out)
    if job.state is State.FAILED and came_out is not None:
        raise _error_of(msgspec.json.decode(came_out)["error"])
    message = f"The job is {job.state}"
    if job.state is State.EXPIRED:
        raise TidegateError(message, code="DEADLINE_EXCEEDED", details={"job_id": job.id})
    details = {"status": job.state, "job_id": job.id}
    raise TidegateError(message, code="JOB_ENDED", details=details)


def _error_of(described: dict[str, Any]) -> TidegateError:
    code = described["code"] if described["code"] in CATALOGUE else "INTERNAL"
    return TidegateError(described["message"], code=code, details=described.get("details"))
