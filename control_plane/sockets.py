"""Sockets of one address, for the processes that share it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from msgspec import Struct


class Inherited(Struct, frozen=True):
    """What a process inherits from the supervisor.

    Attributes:
        descriptor: Of a socket that listens, which then is the one to serve on; or that is only
            bound, and so reserves the address for sockets that its processes bind beside it.
        ready: Descriptor of a pipe that wants a line once connections are accepted, or None.
    """

    descriptor: int
    ready: int | None = None


def tell_ready(pipe: int | None) -> None:
    """Write the line that the supervisor waits for, and close the pipe.

    Args:
        pipe: Its descriptor; None if nobody waits.
    """
    if pipe is None:
        return
    # Who does not read any more has gone, and its end is ours.
    with suppress(BrokenPipeError), os.fdopen(pipe, "w") as line:
        line.write("ready\n")


def beside(bound: socket.socket) -> socket.socket:
    """Bind a further socket to the address of a socket that has SO_REUSEPORT.

    Those that listen share the connections evenly; what one has not accepted when it dies is lost.

    Args:
        bound: A TCP socket of a process of ours.

    Raises:
        OSError: If the address cannot be shared.
    """
    own = socket.socket(bound.family, socket.SOCK_STREAM)
    # Connections of an earlier run may linger there, of a server without SO_REUSEPORT, too.
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if bound.family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    own.bind(bound.getsockname())
    return own


def to_serve_on(inherited: Inherited) -> socket.socket:
    """The socket that a process accepts from; it may not listen yet.

    Raises:
        OSError: If there is no such socket, or its address cannot be shared.
    """
    given = socket.socket(fileno=inherited.descriptor)
    if given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return given
    with given:
        return beside(given)
