from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from control_plane.local.addresses import (
    free_ports,
    join,
    listen,
    port_of,
    public_door,
    reachable,
)
from control_plane.local.errors import StartRefused
from control_plane.sockets import Inherited, beside, to_serve_on


def test_a_taken_port_is_refused_with_the_address_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = port_of(holder)
        with pytest.raises(StartRefused) as refused:
            listen("127.0.0.1", port, "--admin-port")
    assert str(refused.value) == (
        f"127.0.0.1:{port} is taken by another process; stop it, or choose another port with "
        "--admin-port (--admin-port 0 takes a free one)"
    )


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("no such host", "--host no such host is no address"),
        ("192.0.2.1", "--host 192.0.2.1 is no address of this machine"),
    ],
)
def test_a_host_that_is_not_ours_is_refused(host: str, message: str) -> None:
    with pytest.raises(StartRefused, match=message):
        listen(host, 0, "--port")


def test_port_0_takes_a_free_one_that_clients_reach() -> None:
    with listen("127.0.0.1", 0, "--port") as listener:
        socket.create_connection(("127.0.0.1", port_of(listener)), 5).close()


def reserved(port: int = 0) -> socket.socket:
    return public_door("127.0.0.1", port, "--port", 2)


def connect(door: socket.socket) -> socket.socket:
    return socket.create_connection(door.getsockname(), 5)


def test_the_door_of_one_process_listens() -> None:
    with public_door("127.0.0.1", 0, "--port", 1) as door, connect(door):
        pass


def test_the_door_of_several_only_keeps_the_address() -> None:
    with reserved() as door, pytest.raises(ConnectionRefusedError):
        connect(door)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_address_that_several_share_is_taken_for_all_others(processes: int) -> None:
    def refused() -> None:
        with pytest.raises(StartRefused, match="is taken by another process"):
            public_door("127.0.0.1", port_of(door), "--port", processes)

    with reserved() as door:
        refused()
        with beside(door) as own:
            refused()
            own.listen()
            refused()
        refused()


def test_a_port_that_somebody_shares_is_no_door_for_us() -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        for listen_first in (lambda: None, holder.listen):
            listen_first()
            with pytest.raises(StartRefused, match="is taken by another process"):
                reserved(port_of(holder))


def lingering(door: socket.socket, listener: socket.socket) -> int:
    """Leave a connection behind that the server closed first; the port."""
    with connect(door), listener.accept()[0] as accepted:
        accepted.close()
    return port_of(door)


def test_connections_that_linger_do_not_take_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = lingering(door, door)
    with reserved(port) as door, beside(door) as own:
        own.listen()
        lingering(door, own)
    with reserved(port):
        pass
    with public_door("127.0.0.1", port, "--port", 1):
        pass


def inherited(door: socket.socket) -> socket.socket:
    return to_serve_on(Inherited(os.dup(door.fileno())))


def test_a_process_serves_on_what_listens_and_beside_what_does_not() -> None:
    with public_door("127.0.0.1", 0, "--port", 1) as door, inherited(door) as own:
        assert os.path.sameopenfile(own.fileno(), door.fileno())
    with reserved() as door, inherited(door) as own:
        assert not os.path.sameopenfile(own.fileno(), door.fileno())
        own.listen()
        connect(door).close()


def test_those_who_share_an_address_take_even_shares() -> None:
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(reserved())
        sharers = [stack.enter_context(beside(door)) for _ in range(2)]
        for own in sharers:
            own.listen(128)
            own.settimeout(0)
        for _ in range(64):
            stack.enter_context(connect(door))
        counts = [sum(1 for _ in accepted(own)) for own in sharers]
    assert sum(counts) == 64
    assert min(counts) >= 10


def accepted(listener: socket.socket) -> Iterator[None]:
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            yield


def test_an_ipv6_address_is_shared_without_the_ipv4_one() -> None:
    try:
        door = public_door("::1", 0, "--port", 2)
    except StartRefused:
        pytest.skip("no IPv6 here")
    with door, beside(door) as own:
        assert own.getsockname() == door.getsockname()
        assert own.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50


def test_a_wildcard_is_reached_by_loopback() -> None:
    assert [reachable(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost")] == [  # noqa: S104
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "localhost",
    ]


def test_ipv6_gets_brackets() -> None:
    assert join("::1", 8080) == "[::1]:8080"
    assert join("127.0.0.1", 8080) == "127.0.0.1:8080"
