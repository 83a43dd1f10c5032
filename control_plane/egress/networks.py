"""Which addresses may be called: public ones, and those of configured networks.

``ipaddress.is_global`` takes forms that reach into private networks for public (6to4, NAT64,
IPv4-compatible), multicast and site-local addresses, and knows nothing of clouds. So the table is
our own, after IANA's registries of special-purpose addresses (RFC 6890 and its updates): of IPv4
everything but what is listed, of IPv6 only global unicast (RFC 4291) less what is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791); Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); clouds keep services there
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # the platform of a large cloud, reachable from inside only
        "169.254.0.0/16",  # link-local (RFC 3927), with the metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, and broadcast (RFC 1112)
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments (RFC 2928): Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): an IPv4 address inside
        "3fff::/20",  # documentation (RFC 9637)
    )
)
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""Upper halves of interface ids with an IPv4 address inside (RFC 5214)."""


def is_public(address: Address) -> bool:
    """True for an address of the public Internet that holds no other address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    interface = int(address) >> 32 & 0xFFFF_FFFF
    return interface not in _ISATAP and not any(address in network for network in _REFUSED_V6)


class Networks:
    """The networks that may be called though they are not public."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take them.

        Args:
            texts: Addresses or networks in CIDR form.

        Raises:
            ValueError: If one is none.
        """
        self._networks: tuple[Network, ...] = tuple(ip_network(text) for text in texts)

    @property
    def is_empty(self) -> bool:
        """True if there are none."""
        return not self._networks

    def hold(self, address: Address) -> bool:
        """True if an address is in one of them; never with a zone id."""
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        return any(address in network for network in self._networks)

    def fault(self, texts: Sequence[str], *, is_plain: bool) -> str | None:
        """Why a host with these addresses may not be called; None if it may.

        Args:
            texts: All addresses of the host.
            is_plain: True for http, which only configured networks get.
        """
        if not texts:
            return "has no address"
        addresses = [ip_address(text) for text in texts]
        if all(self.hold(address) for address in addresses):
            return None
        if is_plain:
            return "must be https"
        if all(self.hold(address) or is_public(address) for address in addresses):
            return None
        return "is not public"
