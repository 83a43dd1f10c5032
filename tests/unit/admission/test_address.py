"""The client's address: from the peer, or from what configured proxies vouch for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admission.identity.address import (
    MAX_HEADER,
    MAX_HOPS,
    Addresses,
    Client,
    is_within,
)

PROXIES = Addresses(["10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"])


def client(peer: str | None, forwarded: str | None = None, addresses: Addresses = PROXIES) -> str:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode("latin-1")}
    return addresses.client(None if peer is None else (peer, 1), headers).address


def test_without_proxies_the_header_is_not_read() -> None:
    assert client("192.0.2.1", "198.51.100.7", Addresses([])) == "192.0.2.1"


def test_from_no_proxy_the_header_is_not_read() -> None:
    assert client("192.0.2.1", "198.51.100.7") == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("1.1.1.1,198.51.100.7 ,10.1.2.3,2001:db8:ffff::1", "198.51.100.7"),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::5]:4711", "2001:db8::5"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("198.51.100.7, bad, 10.1.2.3", "10.1.2.3"),
        ("198.51.100.7,", "10.0.0.1"),
        ("198.51.100.300", "10.0.0.1"),
        ("é", "10.0.0.1"),
    ],
)
def test_the_walk_ends_at_the_first_that_is_no_proxy(forwarded: str, expected: str) -> None:
    assert client("10.0.0.1", forwarded) == expected


def test_a_proxy_that_sends_no_header_is_the_client() -> None:
    assert client("10.0.0.1") == "10.0.0.1"


def test_an_ipv4_mapped_peer_counts_as_ipv4() -> None:
    assert client("::ffff:10.0.0.1", "198.51.100.7") == "198.51.100.7"
    assert client("::ffff:192.0.2.1") == "192.0.2.1"


def test_a_mapped_network_of_proxies_counts_as_ipv4() -> None:
    mapped = Addresses(["::ffff:10.0.0.0/104"])
    assert client("10.0.0.1", "198.51.100.7", mapped) == "198.51.100.7"


def test_a_unix_socket_counts_as_the_loopback_address() -> None:
    assert client(None) == "127.0.0.1"
    assert client(None, "198.51.100.7") == "198.51.100.7"
    assert client(None, "198.51.100.7", Addresses(["10.0.0.0/8"])) == "127.0.0.1"


@pytest.mark.parametrize("peer", ["", "testclient", "1.2.3", "é"])
def test_an_unreadable_peer_is_nobody(peer: str) -> None:
    assert client(peer, "198.51.100.7", Addresses(["10.0.0.0/8"])) == "0.0.0.0"  # noqa: S104


def test_hops_and_length_are_bounded() -> None:
    hops = ", ".join(["198.51.100.7"] + ["10.0.0.9"] * MAX_HOPS)
    assert client("10.0.0.1", hops) == "10.0.0.9"
    hops = ", ".join(["198.51.100.7"] + ["10.0.0.9"] * (MAX_HOPS - 1))
    assert client("10.0.0.1", hops) == "198.51.100.7"
    assert client("10.0.0.1", "1" * 100_000 + ",198.51.100.7") == "198.51.100.7"
    cut_within_an_entry = "198.51.100.7,10.0.0.9".ljust(MAX_HEADER + 2)
    assert client("10.0.0.1", cut_within_an_entry) == "10.0.0.9"


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_networks(peer: str, network: str) -> None:
    assert PROXIES.client((peer, 1), {}).network == network


@given(st.binary(max_size=300))
def test_any_header_leads_to_an_address_of_the_walk(forwarded: bytes) -> None:
    found = PROXIES.client(("10.0.0.1", 1), {b"x-forwarded-for": forwarded})
    assert isinstance(found, Client)
    assert "{" not in found.network
    assert "}" not in found.network


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=6), st.ip_addresses().map(str))
def test_what_a_client_writes_itself_never_counts(forged: list[str], own: str) -> None:
    """A proxy appends the address that it saw: what stands left of it changes nothing."""
    if client("10.0.0.1", own) != client(own):
        return
    if client(own, "192.0.2.77") != client(own):
        return  # itself one of the proxies
    assert client("10.0.0.1", ", ".join([*forged, own])) == client("10.0.0.1", own)


def test_a_faulty_network_of_proxies_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Addresses(["10.0.0.0/40"])


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("192.0.2.1", ("192.0.2.0/24",), True),
        ("192.0.2.1", ("192.0.3.0/24", "192.0.2.1"), True),
        ("192.0.2.1", ("192.0.3.0/24",), False),
        ("192.0.2.1", ("::/0",), False),
        ("2001:db8::1", ("2001:db8::/32",), True),
        ("192.0.2.1", ("999.0.0.0/8",), False),
        ("192.0.2.1", ("192.0.2.9/24",), True),
        ("192.0.2.1", (), False),
    ],
)
def test_within(address: str, networks: tuple[str, ...], *, expected: bool) -> None:
    assert is_within(address, networks) is expected
