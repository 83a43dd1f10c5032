"""The client's address and the network that an anonymous caller is counted by.

The address is the peer's. Only if the peer is a configured proxy ``X-Forwarded-For`` is read, from
the right: every hop that is a configured proxy vouches for the one to its left. The walk ends at
the first address that is no proxy, at a malformed entry (the hop that vouched for it is then the
client), after 32 hops or 2 KiB. IPv4-mapped IPv6 addresses count as IPv4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from msgspec import Struct

MAX_HOPS: Final = 32
MAX_HEADER: Final = 2048
REMEMBERED: Final = 8192
NO_ADDRESS: Final = "127.0.0.1"
"""Address of a peer without one, as behind a Unix socket: it is of this machine."""
UNREADABLE: Final = "0.0.0.0"  # noqa: S104 - an address that no client has, not one to bind to
"""Address of a peer whose address cannot be read; no proxy, in no one's network."""

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class Client(Struct, frozen=True):
    """Where a request comes from.

    Attributes:
        address: In its shortest form.
        network: What an anonymous caller shares its limits with: the address, of IPv6 the /64.
    """

    address: str
    network: str


class Addresses:
    """Finds the client's address; answers for the latest 8192 peers from memory."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """Name the proxies.

        Args:
            trusted: Networks (CIDR) or addresses of the proxies in front.

        Raises:
            ValueError: If one of them is no network.
        """
        self._trusted = tuple(_network(text) for text in trusted)
        self._find = lru_cache(maxsize=REMEMBERED)(self._walk)

    def client(self, peer: tuple[str, int] | None, headers: Mapping[bytes, bytes]) -> Client:
        """Where a request comes from.

        Args:
            peer: The other end of the connection; None on a Unix socket, which counts as
                127.0.0.1.
            headers: By lower-case name; of ``X-Forwarded-For`` in several lines, joined in order.
        """
        text = NO_ADDRESS if peer is None else peer[0]
        forwarded = headers.get(b"x-forwarded-for", b"") if self._trusted else b""
        if len(forwarded) > MAX_HEADER:
            forwarded = forwarded[-MAX_HEADER:].partition(b",")[2]
        return self._find(text, forwarded)

    def _walk(self, peer: str, forwarded: bytes) -> Client:
        hop = _read(peer)
        if hop is None:
            return Client(UNREADABLE, UNREADABLE)
        entries = forwarded.decode("latin-1").split(",")
        for entry in entries[: -MAX_HOPS - 1 : -1] if forwarded else ():
            following = _read(_without_port(entry.strip())) if self._is_proxy(hop) else None
            if following is None:
                break
            hop = following
        return Client(str(hop), network_of(hop))

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def network_of(address: _Address) -> str:
    """The address of IPv4, the /64 of IPv6 (one customer's line, RFC 6177)."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address.packed[:8] + bytes(8), 64)))


def is_within(address: str, networks: Iterable[str]) -> bool:
    """True if an address lies in one of the networks; one that is no network has no addresses."""
    found = _read(address)
    return found is not None and any(
        network is not None and found in network for network in map(_network_or_none, networks)
    )


def _read(text: str) -> _Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """``192.0.2.1:4711`` and ``[2001:db8::1]:4711`` without brackets and port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, _, _ = entry.partition(":")
    return host if entry.count(":") == 1 else entry


def _network(text: str) -> _Network:
    network = ip_network(text, strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


@lru_cache(maxsize=REMEMBERED)
def _network_or_none(text: str) -> _Network | None:
    try:
        return _network(text)
    except ValueError:
        return None
