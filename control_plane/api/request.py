"""Reading a request: its headers, its body within the limit, its JSON."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import msgspec
from litestar.types import HTTPScope, Receive

from control_plane.errors import DeadlineExceeded, InvalidParameter, MalformedRequest, TidegateError

MAX_TIMEOUT_MS: Final = 3_600_000
MAX_BODY_S: Final = 30.0
_ONCE: Final = frozenset({b"content-type", b"content-encoding", b"x-model-version",
                          b"x-request-timeout", b"content-length", b"authorization",
                          b"x-api-key", b"idempotency-key", b"cancel-after",
                          b"last-event-id"})  # fmt: skip
_JSON_TYPE: Final = re.compile(
    rb"application/json[ \t]*(;[ \t]*charset[ \t]*=[ \t]*\"?utf-8\"?[ \t]*)?", re.IGNORECASE
)
_DIGITS: Final = re.compile(rb"[0-9]{1,9}")
_decode: Final = msgspec.json.Decoder().decode


class ClientGone(Exception):
    """The client went away before its body had arrived."""


def read_headers(scope: HTTPScope) -> dict[bytes, bytes]:
    """The headers by lower-case name.

    Raises:
        InvalidParameter: If one that matters stands twice.
    """
    pairs = scope["headers"]
    headers = dict(pairs)
    if len(headers) != len(pairs):  # type: ignore[arg-type]
        names = [name for name, _ in pairs]
        for name in _ONCE:
            if names.count(name) > 1:
                raise InvalidParameter(name.decode(), "stands twice")
        for name in (b"accept", b"prefer", b"x-forwarded-for"):
            if names.count(name) > 1:
                headers[name] = b", ".join(value for other, value in pairs if other == name)
    return headers


async def read_body(
    headers: dict[bytes, bytes], receive: Receive, max_bytes: int, timeout_s: float = MAX_BODY_S
) -> bytes:
    """Read a body of JSON.

    Args:
        headers: See :func:`read_headers`.
        receive: Gives the body.
        max_bytes: The largest body that is taken.
        timeout_s: Seconds that a body in several pieces may take; at most 30.

    Raises:
        TidegateError: UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE or DEADLINE_EXCEEDED.
        ClientGone: If the client went away.
    """
    _check_media_type(headers)
    check_size(int(headers.get(b"content-length", b"0")), max_bytes)
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        try:
            async with asyncio.timeout(min(timeout_s, MAX_BODY_S)):
                body = await _read_rest(body, receive, max_bytes)
        except TimeoutError:
            raise DeadlineExceeded("The body did not come within the deadline") from None
    elif message["type"] == "http.disconnect":
        raise ClientGone
    check_size(len(body), max_bytes)
    return body


def decoded(body: bytes) -> Any:
    """A body's JSON.

    Raises:
        MalformedRequest: If it is none.
    """
    try:
        return _decode(body)
    except RecursionError:
        raise MalformedRequest("The body is nested too deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedRequest("The body is not valid JSON", details=_reason(body, error)) from None


def check_size(size: int, max_bytes: int) -> None:
    """Refuse a body of a size, bytes.

    Raises:
        TidegateError: PAYLOAD_TOO_LARGE if it is more than allowed.
    """
    if size > max_bytes:
        raise TidegateError(
            f"The body is larger than {max_bytes} bytes",
            code="PAYLOAD_TOO_LARGE",
            details={"limit_bytes": max_bytes},
            headers={"connection": "close"},
        )


def read_selector(headers: dict[bytes, bytes]) -> str | None:
    """The header X-Model-Version.

    Raises:
        InvalidParameter: If it is empty, longer than 63 characters or not ASCII.
    """
    value = headers.get(b"x-model-version")
    if value is None:
        return None
    if not 0 < len(value) <= 63 or not value.isascii():
        issue = "must be a version (v2.3.1), a prefix (v2) or an alias (stable)"
        raise InvalidParameter("X-Model-Version", issue, value.decode("latin-1"))
    return value.decode("ascii")


def read_timeout_ms(headers: dict[bytes, bytes]) -> int | None:
    """The header X-Request-Timeout, milliseconds.

    Raises:
        InvalidParameter: If it is no whole number from 1 to 3,600,000.
    """
    value = headers.get(b"x-request-timeout")
    if value is None:
        return None
    if not _DIGITS.fullmatch(value) or not 1 <= int(value) <= MAX_TIMEOUT_MS:
        issue = f"must be a whole number of milliseconds from 1 to {MAX_TIMEOUT_MS}"
        raise InvalidParameter("X-Request-Timeout", issue, value.decode("latin-1"))
    return int(value)


def check_query(scope: HTTPScope, *, explain: bool = True) -> None:
    """Refuse query parameters, of which predictions have none but ``explain``, and jobs none.

    Args:
        scope: Of the request.
        explain: Whether that one is known.

    Raises:
        TidegateError: INVALID_PARAMETER, or NOT_AVAILABLE for ``explain``.
    """
    query = scope["query_string"]
    if not query:
        return
    pairs = [part.partition(b"=") for part in query.split(b"&")]
    for name, _, _ in pairs:
        if name != b"explain" or not explain:
            shown = name.decode("latin-1")[:64]
            raise InvalidParameter(shown, "is no parameter of this resource")
    if len(pairs) > 1:
        raise InvalidParameter("explain", "stands twice")
    value = pairs[0][2]
    if value in {b"true", b"simple", b"detailed"}:
        details = {"option": "explain"}
        raise TidegateError("Explanations are not offered", code="NOT_AVAILABLE", details=details)
    if value != b"false":
        issue = "must be true, false, simple or detailed"
        raise InvalidParameter("explain", issue, value.decode("latin-1"))


def _check_media_type(headers: dict[bytes, bytes]) -> None:
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json" and not _JSON_TYPE.fullmatch(content_type):
        shown = content_type.decode("latin-1")[:64] or "none"
        raise TidegateError(
            f"The body must be application/json in UTF-8, got {shown}",
            code="UNSUPPORTED_MEDIA_TYPE",
            details={"accepted": ["application/json"]},
        )
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise TidegateError(
            "Compressed bodies are not taken",
            code="UNSUPPORTED_MEDIA_TYPE",
            details={"accepted_encodings": ["identity"]},
        )


async def _read_rest(first: bytes, receive: Receive, max_bytes: int) -> bytes:
    chunks, size, more = [first], len(first), True
    while more:
        check_size(size, max_bytes)
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
    return b"".join(chunks)


def _reason(body: bytes, error: Exception) -> dict[str, str]:
    if not body:
        return {"issue": "the body is empty"}
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        return {"issue": f"invalid UTF-8 at byte {fault.start}"}
    return {"issue": str(error)[:200]}
