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
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")

_S = TypeVar("_S", bound=Struct)
_Place = tuple[Any, str | int] | None
"""The place above and the step from there; None for the root."""


async def read_json(request: Request[Any, Any, Any]) -> Any:
    """The body as plain values.

    Raises:
        TidegateError: UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, MALFORMED_REQUEST or
            DEADLINE_EXCEEDED.
        InvalidInput: If a string of it has a control character; names the first.
    """
    _check_media_type(request)
    body = await _read(request)
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise MalformedRequest("The body is nested too deep") from None
    except (msgspec.DecodeError, ValueError) as error:
        issue = str(error)[:200] if body else "the body is empty"
        raise MalformedRequest("The body is not valid JSON", details={"issue": issue}) from None
    found = control_character(value)
    if found is not None:
        raise InvalidInput([found])
    return value


def control_character(value: Any) -> Fault | None:
    """The first string of plain values that has a control character, as a fault, or None.

    No name and no text for people has any, and each is a danger in a log, a header or a terminal.
    """
    waiting: list[tuple[_Place, Any]] = [(None, value)]
    while waiting:
        place, found = waiting.pop()
        if isinstance(found, str):
            if _CONTROL.search(found):
                return fault(_steps(place), "has a control character")
        elif isinstance(found, dict):
            waiting += reversed([((place, name), item) for name, item in found.items()])
        elif isinstance(found, list):
            waiting += reversed([((place, index), item) for index, item in enumerate(found)])
    return None


def _steps(place: _Place) -> list[str | int]:
    steps: list[str | int] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return steps[::-1]


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
