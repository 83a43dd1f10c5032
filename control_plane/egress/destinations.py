"""Where a call may go: every address of a host has to be one that may be called."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, Protocol

from msgspec import Struct

from control_plane.egress.address import Url, read_url, refused
from control_plane.egress.networks import Networks
from control_plane.egress.resolver import Lookup, NameUnknown, Resolver, system_lookup
from control_plane.setting_groups import EgressSettings

Failure = Literal["name", "timeout", "connection", "tls", "protocol"]
"""Why there is no answer: no address, none in time, no connection, no trust, no HTTP."""

RESOLVE_S: Final = 5.0
"""What finding the addresses of a name may take, seconds."""

_MOST_ADDRESSES: Final = 4


class CallFailed(Exception):
    """There is no answer.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Answer(Struct, frozen=True):
    """What was answered.

    Attributes:
        status: HTTP status; a redirect is one as any other.
        headers: By lower-case name; of a name that came twice the last.
        body: What was asked for of it.
    """

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Fetch(Protocol):
    """Reads parts of what lies at addresses; see :meth:`Egress.get`."""

    async def get(self, text: str, start: int, length: int, headers: Mapping[str, str]) -> Answer:
        """Read a part."""


class NoFetch:
    """Reads nothing, where no addresses are taken."""

    async def get(self, text: str, start: int, length: int, headers: Mapping[str, str]) -> Answer:
        """Refuse.

        Raises:
            TidegateError: ADDRESS_REFUSED.
        """
        raise refused("is of no bucket that is taken")


class Destinations:
    """Which addresses may be called."""

    def __init__(self, settings: EgressSettings, *, lookup: Lookup = system_lookup) -> None:
        """Know the rules.

        Args:
            settings: Networks that may be called though they are not public.
            lookup: Finds the addresses of names.
        """
        self._networks = Networks(settings.networks)
        self._resolver = Resolver(lookup)

    async def check(self, text: str) -> None:
        """Refuse an address that could not be called now; one whose name is unknown passes.

        Raises:
            TidegateError: ADDRESS_REFUSED.
        """
        with suppress(CallFailed):
            await self.addresses(read_url(text))

    async def addresses(self, url: Url) -> list[str]:
        """Some addresses of a host, all of which may be called.

        Raises:
            TidegateError: ADDRESS_REFUSED.
            CallFailed: If the name has none.
        """
        if url.scheme == "http" and self._networks.is_empty:
            raise refused("must be https")
        if url.is_literal:
            found = [url.host]
        else:
            try:
                found = await self._resolver.addresses(url.host, RESOLVE_S)
            except NameUnknown:
                raise CallFailed("name") from None
        fault = self._networks.fault(found, is_plain=url.scheme == "http")
        if fault is not None:
            raise refused(fault)
        return found[:_MOST_ADDRESSES]
