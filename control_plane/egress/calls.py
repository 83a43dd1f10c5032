"""Calls to addresses that clients name, which reach nothing that is not public (SSRF).

A host is resolved once a call, all its addresses are checked, and the connection goes to one that
was checked while TLS verifies the name. Redirects are not followed; proxies of the environment,
cookies, credentials and compression are not used; answers are read up to a limit.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from types import MappingProxyType
from typing import Final

import httpx

from control_plane import __version__
from control_plane.egress.address import Url, read_url
from control_plane.egress.destinations import Answer, CallFailed, Destinations
from control_plane.egress.resolver import Lookup, system_lookup
from control_plane.setting_groups import EgressSettings

CONNECT_S: Final = 5.0
"""What a connection may take, within the call's own time, seconds."""

_DRAINED_BYTES: Final = 65_536
_DRAINED_S: Final = 1.0
_BASE_HEADERS: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": f"Tidegate/{__version__}",
}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Egress(Destinations):
    """The way out of the house."""

    def __init__(
        self,
        settings: EgressSettings,
        *,
        context: ssl.SSLContext | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Open the way.

        Args:
            settings: Networks that may be called though they are not public.
            context: Whom TLS trusts; by default the usual authorities, or those of
                ``SSL_CERT_FILE``.
            lookup: Finds the addresses of names.
        """
        super().__init__(settings, lookup=lookup)
        self._context = context or httpx.create_ssl_context()

    async def post(
        self, text: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Send a body and hear the status; the body of the answer is thrown away.

        Args:
            text: The address.
            body: To be sent.
            headers: Of the request.
            timeout_s: Seconds that all of it may take.

        Raises:
            TidegateError: ADDRESS_REFUSED; nothing was sent.
            CallFailed: If there is no answer.
        """
        url = read_url(text)
        async with (
            _in_time(timeout_s),
            self._sent("POST", url, headers, body) as response,
        ):
            with suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(_DRAINED_S):
                    await _read(response, _DRAINED_BYTES)
            return _answer(response)

    async def get(
        self,
        text: str,
        start: int,
        length: int,
        headers: Mapping[str, str] = _NOTHING,
        timeout_s: float = 30.0,
    ) -> Answer:
        """Read a part of what lies at an address (RFC 9110, section 14).

        A server that does not know ranges answers 200 from the beginning on: look at the status.

        Args:
            text: The address.
            start: First byte.
            length: Bytes that are read at most, whatever comes; at least 1.
            headers: Further headers of the request.
            timeout_s: Seconds that all of it may take.

        Raises:
            TidegateError: ADDRESS_REFUSED; nothing was sent.
            CallFailed: If there is no answer, or it breaks off.
        """
        url = read_url(text)
        wanted = {**headers, "range": f"bytes={start}-{start + length - 1}"}
        async with (
            _in_time(timeout_s),
            self._sent("GET", url, wanted, b"") as response,
        ):
            return _answer(response, await _read(response, length))

    @asynccontextmanager
    async def _sent(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to be read, from the first address that connects.

        Each call has a connection of its own: one that is kept could be taken for another name at
        the same address, whose certificate nobody looked at.
        """
        addresses = await self.addresses(url)
        async with httpx.AsyncHTTPTransport(
            verify=self._context, trust_env=False, http2=False
        ) as transport:
            with _named():
                response = await _first(transport, method, url, addresses, headers, body)
                try:
                    yield response
                finally:
                    await response.aclose()


async def _first(
    transport: httpx.AsyncHTTPTransport,
    method: str,
    url: Url,
    addresses: list[str],
    headers: Mapping[str, str],
    body: bytes,
) -> httpx.Response:
    for place, address in enumerate(addresses, start=1):
        try:
            return await transport.handle_async_request(
                _request(method, url, address, headers, body)
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if place == len(addresses) or _is_tls(error):
                raise
    raise CallFailed("connection")


def _request(
    method: str, url: Url, address: str, headers: Mapping[str, str], body: bytes
) -> httpx.Request:
    pinned = httpx.URL(scheme=url.scheme, host=address, port=url.port, raw_path=url.target.encode())
    return httpx.Request(
        method,
        pinned,
        headers={**_BASE_HEADERS, **headers, "host": url.authority},
        content=body or None,
        extensions={
            "sni_hostname": url.host,
            "timeout": {"connect": CONNECT_S, "read": None, "write": None, "pool": None},
        },
    )


async def _read(response: httpx.Response, most: int) -> bytes:
    """At most so many bytes of a body, as they came."""
    parts, size = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(parts)[:most]


def _answer(response: httpx.Response, body: bytes = b"") -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CallFailed("timeout") from None


@contextmanager
def _named() -> Iterator[None]:
    """Errors of the client by our own names; their texts hold addresses, which stay in here."""
    try:
        yield
    except httpx.TimeoutException:
        raise CallFailed("timeout") from None
    except httpx.ProtocolError:
        raise CallFailed("protocol") from None
    except httpx.HTTPError as error:
        raise CallFailed("tls" if _is_tls(error) else "connection") from None


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
