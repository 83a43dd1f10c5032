"""Puts objects at signed addresses of this API's own: bytes straight to the store.

Such a request carries no API key: its signature is the right, and the visit was paid for when the
address was made. It passes neither Litestar nor any limit on bodies: what comes is bounded by the
size that was signed, and is never held whole in memory. Requests whose signature does not fit
count against the network that they come from, as any other that is refused.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar.types import HTTPScope, Receive

from control_plane.api.upload_views import view
from control_plane.api.visit import charged, identify
from control_plane.errors import Forbidden, InvalidParameter, TidegateError
from control_plane.patterns import exactly
from control_plane.problem import JSON, Headers
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange
from control_plane.uploads.layout import UPLOAD_ID
from control_plane.uploads.links import METHOD, PATH, Link

TEMPLATE: Final = f"{PATH}{{upload}}"
CLOSE: Final = {"connection": "close"}
"""Of each refusal: the object that follows it is not read."""

_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
_ID: Final = re.compile(UPLOAD_ID)
_SIZE: Final = re.compile(rb"[1-9][0-9]{0,12}")
SIGNED: Final = {
    "tenant": re.compile(exactly("[a-z0-9][a-z0-9_-]{0,62}")),
    "expires": re.compile(exactly("[1-9][0-9]{0,11}")),
    "signature": re.compile(exactly("[A-Za-z0-9_-]{43}")),
}
"""Parameters of an address, and what they look like."""


def match(path: str) -> bool:
    """True if a path means an object."""
    return path.startswith(PATH) and "/" not in path[len(PATH) :]


async def put(
    services: Services,
    scope: HTTPScope,
    headers: dict[bytes, bytes],
    receive: Receive,
    exchange: Exchange,
) -> tuple[bytes, Headers]:
    """Take an object.

    Args:
        services: Of this process.
        scope: Of the request.
        headers: Of the request, by lower-case name.
        receive: Gives the body.
        exchange: Of the request.

    Returns:
        The body and the headers of a 201.

    Raises:
        TidegateError: Any error of the request, or of the store.
    """
    receiver = services.uploads.receiver
    upload_id = scope["path"][len(PATH) :]
    if receiver is None or not _ID.fullmatch(upload_id):
        raise TidegateError("There is no such upload", code="NOT_FOUND", headers=CLOSE)
    if scope["method"] != METHOD:
        raise TidegateError(
            "Objects are put with PUT",
            code="METHOD_NOT_ALLOWED",
            headers={"allow": METHOD, **CLOSE},
        )
    try:
        link, signature = _read(upload_id, scope, headers)
        receiver.check(link, signature)
        exchange.tenant = link.tenant
        upload = await receiver.receive(link, _chunks(receive))
    except TidegateError as error:
        error.headers.update(CLOSE)
        raise
    return msgspec.json.encode(view(upload)), [(b"content-type", JSON)]


async def counted(
    services: Services,
    scope: HTTPScope,
    headers: dict[bytes, bytes],
    error: TidegateError,
    exchange: Exchange,
) -> TidegateError:
    """The error that a client sees.

    One that had no signature that fits counts against its network; a network that sent too many
    is told that it is blocked instead.
    """
    if exchange.tenant or error.status >= 500:
        return error
    told = {name: value for name, value in headers.items() if name not in _CREDENTIALS}
    try:
        network = await identify(services, told, scope, exchange)
    except TidegateError:
        return error
    shown = await charged(services, network, error, exchange)
    shown.headers.update(CLOSE)
    return shown


def _read(upload_id: str, scope: HTTPScope, headers: dict[bytes, bytes]) -> tuple[Link, str]:
    """What a request says that it was signed for."""
    query = _query(scope["query_string"].decode("latin-1"))
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise InvalidParameter("Content-Encoding", "is not taken: the object is kept as it is sent")
    size = headers.get(b"content-length", b"")
    if not _SIZE.fullmatch(size):
        issue = "must be the size of the object in bytes; chunked bodies are not taken"
        raise InvalidParameter("Content-Length", issue)
    media_type = headers.get(b"content-type", b"").decode("latin-1").strip().lower()
    link = Link(upload_id, query["tenant"], int(size), media_type, int(query["expires"]))
    return link, query["signature"]


def _query(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=None)
    query = dict(pairs)
    is_whole = len(pairs) == len(SIGNED) and query.keys() == SIGNED.keys()
    if not is_whole or not all(form.fullmatch(query[name]) for name, form in SIGNED.items()):
        raise Forbidden("The address is not a signed one", details={"reason": "signature"})
    return query


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes; it ends early if the client goes away.

    The server reads on only when it is asked for more, so that a slow disk slows the client down.
    """
    more = True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)
