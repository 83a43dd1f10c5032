"""Predictions that are answered at once."""

from __future__ import annotations

from typing import Final

from control_plane.admission.principal import Principal
from control_plane.api.asked import Asked, check_arrived
from control_plane.api.render import prediction_headers
from control_plane.choice import PredictCall
from control_plane.problem import Headers
from control_plane.rendering import prediction_v1, prediction_v2
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange

_RENDER: Final = {1: prediction_v1, 2: prediction_v2}


async def predict(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange
) -> tuple[bytes, Headers]:
    """Answer a prediction.

    Args:
        services: Of this process.
        principal: Who asks; it need not be who asked when the body began to arrive.
        asked: The request.
        exchange: Of the request.

    Returns:
        The body and the headers of a 200.

    Raises:
        TidegateError: Any error of the values or of the stages.
    """
    check_arrived(services, principal, asked)
    prediction = await services.pipeline.predict(
        PredictCall(
            body=asked.sent,
            arrived=exchange.started,
            principal=principal,
            model=asked.route.model,
            selector=asked.selector,
            timeout_ms=asked.timeout_ms,
            routed=exchange.routed,
            admitted=exchange.admitted,
            request_id=exchange.request_id,
            headers=asked.headers,
        )
    )
    exchange.admission_s = prediction.admission_s
    exchange.queue_s = prediction.queue_s
    exchange.inference_s = prediction.inference_s
    exchange.shared = prediction.shared
    exchange.units = prediction.units
    answer_headers = [(b"content-type", asked.media_type), *prediction_headers(prediction)]
    if asked.route.major == 0:
        answer_headers.append((b"vary", b"accept"))
    return _RENDER[asked.major](prediction, exchange.request_id), answer_headers
