"""The closed catalogue of error codes: what each means, its status and what the caller can do."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class ErrorSpec(Struct, frozen=True):
    """One row of the catalogue.

    Attributes:
        status: The HTTP status that goes with the code.
        summary: What happened, for the reader of the catalogue.
        remedy: What the caller can do.
        retryable: True if the same request may succeed later.
    """

    status: int
    summary: str
    remedy: str
    retryable: bool = False


CATALOGUE: Final[dict[str, ErrorSpec]] = {
    "MALFORMED_REQUEST": ErrorSpec(
        400,
        "The body is not valid JSON: broken syntax, invalid UTF-8, a number no double can hold, "
        "or deeper than the decoder takes.",
        "Send one JSON object, encoded as UTF-8.",
    ),
    "INVALID_PARAMETER": ErrorSpec(
        400,
        "A header or query parameter is unknown or outside its range.",
        "See `details.parameter` and `details.issue`.",
    ),
    "VERSION_CONFLICT": ErrorSpec(
        400,
        "The header X-Model-Version and the body name different model versions.",
        "Name the version in one place, or the same in both.",
    ),
    "MODEL_CONFLICT": ErrorSpec(
        400,
        "The path and the body name different models.",
        "Name the model in one place, or the same in both.",
    ),
    "MODEL_REQUIRED": ErrorSpec(
        400,
        "This deployment has no default model and the request names none.",
        "Name a model in the path or in `model`; `GET /api/v1/models` lists them.",
    ),
    "UNAUTHENTICATED": ErrorSpec(
        401,
        "The request carries no credentials and needs some, or they are not valid.",
        "Send a valid API key or access token: `Authorization: Bearer …`.",
    ),
    "FORBIDDEN": ErrorSpec(
        403,
        "The credentials are valid and do not allow this.",
        "`details` names the scope that is missing, or why the tenant may not call.",
    ),
    "NOT_FOUND": ErrorSpec(404, "There is no such resource.", "Check the path; see `/docs`."),
    "MODEL_NOT_FOUND": ErrorSpec(
        404, "There is no such model.", "`details.models` lists those that exist."
    ),
    "MODEL_VERSION_NOT_FOUND": ErrorSpec(
        404,
        "The model has no such version.",
        "`details.versions` lists those that exist.",
    ),
    "METHOD_NOT_ALLOWED": ErrorSpec(
        405, "The resource does not take this method.", "The header Allow lists those it takes."
    ),
    "NOT_ACCEPTABLE": ErrorSpec(
        406,
        "The API major asked for by Accept does not exist.",
        "`details.available` lists the media types.",
    ),
    "ALREADY_EXISTS": ErrorSpec(
        409, "There is a resource of that id.", "Choose another id, or change that one."
    ),
    "REVISION_CONFLICT": ErrorSpec(
        409,
        "The resource was changed since it was read, or others still refer to it.",
        "Read it again, then decide; `details` says what stands in the way.",
    ),
    "LIFE_CONFLICT": ErrorSpec(
        409,
        "The life of the version, or the model's rollout, does not allow this.",
        "`details` says where the life or the rollout stands; see docs/routing.md.",
    ),
    "CONTRACT_BREAKING": ErrorSpec(
        409,
        "The version's contract breaks that of the version it would replace.",
        "`details.changes` explains each break; make it compatible, or allow it explicitly.",
    ),
    "VERSION_NOT_READY": ErrorSpec(
        409,
        "The version is not loaded everywhere, or fails its contract's examples.",
        "`details.reasons` says what is missing; load it, wait, and try again.",
    ),
    "JOB_ENDED": ErrorSpec(
        409, "The job has ended already.", "`details.status` says how; read its result."
    ),
    "IDEMPOTENCY_IN_PROGRESS": ErrorSpec(
        409,
        "A request with this Idempotency-Key is under way.",
        "Repeat after Retry-After seconds; the answer will be that of the first.",
        retryable=True,
    ),
    "UPLOAD_CONFLICT": ErrorSpec(
        409,
        "The object of this upload is there already, or is being written.",
        "Make another upload; an object is written once.",
    ),
    "MODEL_VERSION_RETIRED": ErrorSpec(
        410,
        "The version is past its sunset and answers no more.",
        "`details.versions` lists those that do.",
    ),
    "UPLOAD_EXPIRED": ErrorSpec(410, "The signed address is past its end.", "Make another upload."),
    "PAYLOAD_TOO_LARGE": ErrorSpec(
        413, "The body is larger than this deployment takes.", "`details.limit_bytes` is the limit."
    ),
    "UNSUPPORTED_MEDIA_TYPE": ErrorSpec(
        415,
        "The body is not declared as JSON in UTF-8, or it is compressed.",
        "Send `Content-Type: application/json` and no Content-Encoding.",
    ),
    "INVALID_INPUT": ErrorSpec(
        422,
        "The body is JSON but violates the model's contract.",
        "`errors` lists every fault with its field; `details` is the first of them.",
    ),
    "IDEMPOTENCY_CONFLICT": ErrorSpec(
        422,
        "This Idempotency-Key came with another request before.",
        "Use one key for one request; a key is kept for 24 hours.",
    ),
    "OBJECT_UNUSABLE": ErrorSpec(
        422,
        "The object that an input names is not there, not complete, or not what the input takes.",
        "See `details`; upload it, or name another.",
    ),
    "ADDRESS_REFUSED": ErrorSpec(
        422,
        "The address may not be called: not https, not public, or not of a configured bucket.",
        "Name a public https address.",
    ),
    "RATE_LIMITED": ErrorSpec(
        429,
        "Requests come faster than the tier allows.",
        "Wait Retry-After seconds.",
        retryable=True,
    ),
    "CONCURRENCY_LIMITED": ErrorSpec(
        429,
        "More requests are in flight than the tier allows.",
        "Wait for answers before sending more.",
        retryable=True,
    ),
    "QUOTA_EXCEEDED": ErrorSpec(
        429,
        "The quota of the day or the month is used up.",
        "Wait until X-Quota-Reset, or ask for a larger quota.",
        retryable=True,
    ),
    "TEMPORARILY_BLOCKED": ErrorSpec(
        429,
        "The client kept sending errors, or was blocked by a rule or an operator.",
        "Mend what it sends, then wait Retry-After seconds; the wait doubles with each block.",
        retryable=True,
    ),
    "TOO_MANY_JOBS": ErrorSpec(
        429,
        "More jobs of the tenant wait or run than may.",
        "Wait until some have ended.",
        retryable=True,
    ),
    "TOO_MANY_OPEN": ErrorSpec(
        429,
        "The tenant has as many open uploads, streams of events or endpoints as it may.",
        "Close or delete some.",
        retryable=True,
    ),
    "HEADERS_TOO_LARGE": ErrorSpec(
        431,
        "The request line and the headers are larger than 64 KiB.",
        "Send fewer or shorter headers.",
    ),
    "INTERNAL": ErrorSpec(
        500,
        "The server failed in a way that it should not.",
        "Report the request id.",
        retryable=True,
    ),
    "WORKER_LOST": ErrorSpec(
        500,
        "Every worker that took the job was gone before it had finished.",
        "Look at the input: it may be what ends them. Report the job's id.",
    ),
    "NOT_AVAILABLE": ErrorSpec(
        501, "This deployment does not offer the option asked for.", "Leave the option out."
    ),
    "MODEL_FAILED": ErrorSpec(
        502,
        "The model failed on this input, or answered what its contract does not allow.",
        "Report the request id.",
        retryable=True,
    ),
    "OVERLOADED": ErrorSpec(
        503,
        "More requests are waiting than may wait: for this model, or for a reading of usage.",
        "Repeat after Retry-After seconds, with backoff.",
        retryable=True,
    ),
    "ADMISSION_UNAVAILABLE": ErrorSpec(
        503,
        "It cannot be decided whether the call may proceed: a server that keeps the accounts "
        "is away.",
        "Repeat after Retry-After seconds, with backoff.",
        retryable=True,
    ),
    "JOBS_UNAVAILABLE": ErrorSpec(
        503,
        "Jobs cannot be taken or read: the server that keeps them is away, full, or not durable.",
        "Repeat after Retry-After seconds, with backoff.",
        retryable=True,
    ),
    "UPLOADS_UNAVAILABLE": ErrorSpec(
        503,
        "The object store cannot be reached.",
        "Repeat after Retry-After seconds, with backoff.",
        retryable=True,
    ),
    "MODEL_UNAVAILABLE": ErrorSpec(
        503,
        "No healthy server has the model version loaded, or it is being shut down.",
        "Repeat after Retry-After seconds, with backoff.",
        retryable=True,
    ),
    "DEADLINE_EXCEEDED": ErrorSpec(
        504,
        "The answer did not come within the request's deadline.",
        "Repeat with a longer X-Request-Timeout, up to the contract's `deadline_ms`.",
        retryable=True,
    ),
}
