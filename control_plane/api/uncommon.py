"""Requests that ask for more than an answer at once: a job, or to be answered only once."""

from __future__ import annotations

from control_plane.admission.principal import Principal
from control_plane.api import predict
from control_plane.api.asked import Asked, check_arrived
from control_plane.api.preferences import read_key, read_preferences
from control_plane.api.submit import REPLAYED, Answer, digest_of, predict_later, submit
from control_plane.api.visit import READ, admit, has_jobs
from control_plane.contracts.envelope import asks_for_a_job
from control_plane.errors import Forbidden, Unauthenticated
from control_plane.idempotency.once import KeptAnswer
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange


async def answer(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange
) -> Answer:
    """Answer a request whose body or headers ask for something uncommon.

    Args:
        services: Of this process.
        principal: Who asks.
        asked: For what.
        exchange: Of the request.

    Returns:
        Status, body and headers.

    Raises:
        TidegateError: Any error of the request.
    """
    check_arrived(services, principal, asked)
    if asked.route.is_job:
        return await submit(services, principal, asked, exchange)
    if asks_for_a_job(asked.sent) or _prefers_a_job(principal, asked):
        return await predict_later(services, principal, asked, exchange)
    key = read_key(asked.headers)
    if key is not None:
        return await _predict_once(services, principal, asked, exchange, key)
    body, headers = await predict.predict(services, principal, asked, exchange)
    return 200, body, headers


def _prefers_a_job(principal: Principal, asked: Asked) -> bool:
    """True if a job is preferred by who may have jobs; of others the preference is ignored.

    A preference never makes a request fail that would do without it (RFC 7240, section 2).
    """
    return has_jobs(principal) and read_preferences(asked.headers).respond_async


async def _predict_once(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange, key: str
) -> Answer:
    """Predict, or give the answer that the key got before, which costs no units.

    Raises:
        TidegateError: UNAUTHENTICATED without a tenant, whose the keys are; FORBIDDEN for the kept
            answer of a model that the caller may not use; any error of :meth:`Once.answer` and of
            the prediction.
    """
    if principal.kind == "anonymous":
        raise Unauthenticated("Idempotency keys are of tenants: send an API key or a token")

    async def make() -> KeptAnswer:
        body, headers = await predict.predict(services, principal, asked, exchange)
        return KeptAnswer(200, headers, body, exchange.model)

    name = services.digests.of_key(principal.tenant, key)
    digest = digest_of(services, asked)
    kept, replayed = await services.once.answer(principal.tenant, name, digest, make)
    if not replayed:
        return kept.status, kept.body, list(kept.headers)
    if not principal.may("predict", kept.model):
        scope = f"predict:{kept.model}"
        raise Forbidden(f"The credentials lack the scope {scope}", details={"scope": scope})
    permit = await admit(services, principal, READ, exchange)
    permit.refund(failed=False)
    return kept.status, kept.body, [*kept.headers, REPLAYED]
