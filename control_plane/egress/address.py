"""Addresses that clients name: read strictly, so that nobody reads them another way.

Readers of URLs disagree on user names, backslashes, numbers as hosts and much else, and what one
of them checks another calls. Here everything that could be read in two ways is refused, and the
call is made of the parts that were checked, never of the text.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from control_plane.errors import TidegateError

MAX_LENGTH: Final = 2048
"""Characters of an address."""

_STANDARD_PORTS: Final = {"https": 443, "http": 80}
_LOWEST_FREE_PORT: Final = 1024
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z_.-]{1,253})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<target>(?:[/?][!$-;=?-Z_a-z~%\[\]]*)?)"
)
_LABEL: Final = re.compile(r"(?!-)[0-9a-z_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Url(Struct, frozen=True):
    """An address whose form was checked.

    Attributes:
        scheme: ``https`` or ``http``.
        host: Name or IP address, lower case, without brackets.
        port: TCP port.
        target: Path and query as they are sent.
        is_literal: True if the host is an IP address.
    """

    scheme: str
    host: str
    port: int
    target: str
    is_literal: bool

    @property
    def authority(self) -> str:
        """What the header Host says (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _STANDARD_PORTS[self.scheme] else f"{host}:{self.port}"


def refused(issue: str) -> TidegateError:
    """The error of an address that may not be called.

    Args:
        issue: What is wrong with it; never what its name resolves to.
    """
    return TidegateError(
        f"The address {issue}", code="ADDRESS_REFUSED", details={"issue": f"the address {issue}"}
    )


def read_url(text: str) -> Url:
    """Read an address: ``https://host[:port][/path][?query]`` in ASCII.

    Hosts are DNS names without a trailing dot, international ones as ``xn--…``, or IP addresses in
    their usual form. Ports are the scheme's own or 1024 and above: what listens below speaks other
    protocols.

    Raises:
        TidegateError: ADDRESS_REFUSED, with what is wrong.
    """
    if len(text) > MAX_LENGTH:
        raise refused(f"is longer than {MAX_LENGTH} characters")
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise refused("has a user name or a password in it")
    if "#" in text:
        raise refused("has a fragment")
    if not text.lower().startswith(("https://", "http://")):
        raise refused("must begin with https://")
    found = _PARTS.fullmatch(text)
    if found is None:
        raise refused("is not of the form https://host[:port][/path][?query] in ASCII")
    scheme = found["scheme"]
    port = int(found["port"] or _STANDARD_PORTS[scheme])
    if port != _STANDARD_PORTS[scheme] and not _LOWEST_FREE_PORT <= port <= 65_535:
        raise refused(f"must have the port {_STANDARD_PORTS[scheme]}, or one of 1024 to 65535")
    host = found["host"].lower()
    target = found["target"]
    is_literal = _check_host(host)
    return Url(
        scheme=scheme,
        host=host.strip("[]"),
        port=port,
        target=target if target.startswith("/") else f"/{target}",
        is_literal=is_literal,
    )


def _check_host(host: str) -> bool:
    """True if a host is an IP address, False if it is a name.

    Raises:
        TidegateError: ADDRESS_REFUSED if it is neither.
    """
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
            return True
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            # A name never ends in a number: resolvers take 2130706433 and 0x7f.1 for 127.0.0.1.
            IPv4Address(host)
            return True
    except AddressValueError:
        raise refused("has a number for a host that is no IP address in its usual form") from None
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise refused("has a host that is no DNS name, or ends in a dot")
    return False
