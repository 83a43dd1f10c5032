"""Addresses: sockets that children inherit, and ports that nobody uses."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

from control_plane.local.errors import StartRefused
from control_plane.sockets import beside

LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 2048
_WILDCARDS: Final = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}  # noqa: S104


def listen(host: str, port: int, option: str) -> socket.socket:
    """Open a listening TCP socket, to be inherited by the processes that serve on it.

    Args:
        host: Name or address to bind.
        port: Port to bind; 0 takes a free one.
        option: The command line option that sets the port, for the message.

    Raises:
        StartRefused: If the address is taken, not this machine's, or not to be resolved.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise StartRefused(f"--host {host} is no address: {error.strerror}") from error
    except OSError as error:
        raise StartRefused(_refusal(host, port, option, error)) from error


def public_door(host: str, port: int, option: str, processes: int) -> socket.socket:
    """Open the socket of an address that some processes serve.

    One process accepts from a listening socket of ours, in which connections wait while it is
    restarted. Of several each listens itself, or a few would accept nearly everything.

    Args:
        host: Name or address to bind.
        port: Port to bind; 0 takes a free one.
        option: The command line option that sets the port, for the message.
        processes: How many serve the address, at least 1.

    Raises:
        StartRefused: If the address is taken, not this machine's, or not to be resolved.
    """
    listener = listen(host, port, option)
    return listener if processes == 1 else _reservation(listener)


def _reservation(listener: socket.socket) -> socket.socket:
    """Close a listening socket and keep its address for SO_REUSEPORT sockets of our children.

    The address is ours alone at every moment: SO_REUSEPORT comes after the listener has found
    nobody else there, and a listener without it finds this socket, which is not SO_REUSEADDR
    once it is bound.
    """
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved = beside(listener)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return reserved


def _refusal(host: str, port: int, option: str, error: OSError) -> str:
    address = join(host, port)
    if error.errno == errno.EADDRINUSE:
        return (
            f"{address} is taken by another process; stop it, or choose another port with "
            f"{option} ({option} 0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return f"{address} needs privileges; choose a port above 1023 with {option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine"
    return f"cannot listen on {address}: {error.strerror}"


def free_ports(count: int) -> list[int]:
    """Find ports on the loopback address that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [opened.getsockname()[1] for opened in sockets]


def port_of(listener: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(listener.getsockname()[1])


def reachable(host: str) -> str:
    """The host under which this machine reaches a server bound to ``host``."""
    return _WILDCARDS.get(host, host)


def join(host: str, port: int) -> str:
    """Write ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
