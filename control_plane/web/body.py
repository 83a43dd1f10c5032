"""Bodies for Litestar handlers: JSON of a stated shape, or an error that says why not."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException
from msgspec import Struct

from control_plane.errors import (
    DeadlineExceeded,
    Fault,
    InvalidInput,
    MalformedRequest,
    TidegateError,
)

MAX_BODY_S: Final = 30.0
"""What a body may take to arrive, seconds."""

_TYPES: Final = ("application/json", "application/merge-patch+json")
_CHARSET: Final = re.compile(r'charset[ \t]*=[ \t]*"?utf-8"?', re.IGNORECASE)
_AT: Final = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_MEMBER: Final = re.compile(r"(?:required|unknown) field `(?P<name>.*?)`")
_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")

_S = TypeVar("_S", bound=Struct)


async def read_body(request: Request[Any, Any, Any], shape: type[_S]) -> _S:
    """The body as a Struct.

    Raises:
        TidegateError: UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, MALFORMED_REQUEST or
            DEADLINE_EXCEEDED.
        InvalidInput: If it is JSON of another shape; names the first fault.
    """
    return shaped(await read_json(request), shape)


async def read_json(request: Request[Any, Any, Any]) -> Any:
    """The body as plain values; see :func:`read_body`."""
    _check_media_type(request)
    body = await _read(request)
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise MalformedRequest("The body is nested too deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        issue = str(error)[:200] if body else "the body is empty"
        raise MalformedRequest("The body is not valid JSON", details={"issue": issue}) from None


def shaped(value: Any, shape: type[_S]) -> _S:
    """Plain values as a Struct.

    Raises:
        InvalidInput: Naming the first fault.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise InvalidInput([fault_of(str(error))]) from None


def merged(current: Any, patch: Any) -> Any:
    """A value with a JSON merge patch applied (RFC 7396): null removes a member."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def fault_of(message: str) -> Fault:
    """What msgspec says of a value, as a fault with its field and JSON Pointer (RFC 6901)."""
    at = _AT.search(message)
    steps = [
        step["name"] or int(step["index"]) for step in _STEP.finditer(at["path"] if at else "")
    ]
    issue = message[: at.start()] if at else message
    member = _MEMBER.search(issue)
    if member is not None:
        steps.append(member["name"][:64])
    return fault(steps, issue[:1].lower() + issue[1:300])


def fault(steps: list[str | int], issue: str, received: str | int | None = None) -> Fault:
    """A fault at a place of the body.

    Args:
        steps: Names of members and indexes from the root to the place.
        issue: What is wrong.
        received: The value there, if it is short.
    """
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return Fault(field=field.removeprefix("."), issue=issue, path=pointer, received=received)


async def _read(request: Request[Any, Any, Any]) -> bytes:
    try:
        async with asyncio.timeout(MAX_BODY_S):
            return await request.body()
    except TimeoutError:
        raise DeadlineExceeded("The body did not come within the deadline") from None
    except HTTPException as error:
        if error.status_code != 413:
            raise
        limit = request.route_handler.resolve_request_max_body_size()
        raise TidegateError(
            f"The body is larger than {limit} bytes",
            code="PAYLOAD_TOO_LARGE",
            details={"limit_bytes": limit},
            headers={"connection": "close"},
        ) from None


def _check_media_type(request: Request[Any, Any, Any]) -> None:
    given = request.headers.get("content-type", "")
    media_type, _, parameters = given.partition(";")
    known = media_type.strip().lower() in _TYPES
    if not known or (parameters.strip() and not _CHARSET.fullmatch(parameters.strip())):
        raise TidegateError(
            f"The body must be application/json in UTF-8, got {given[:64] or 'none'}",
            code="UNSUPPORTED_MEDIA_TYPE",
            details={"accepted": list(_TYPES)},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise TidegateError(
            "Compressed bodies are not taken",
            code="UNSUPPORTED_MEDIA_TYPE",
            details={"accepted_encodings": ["identity"]},
        )
