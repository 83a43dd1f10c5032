from __future__ import annotations

import socket

import pytest

from control_plane.local.addresses import free_ports, join, listen, port_of, reachable
from control_plane.local.errors import StartRefused


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
