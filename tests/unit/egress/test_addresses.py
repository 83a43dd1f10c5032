"""What may be called: the form of addresses, and the table of networks."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.egress.address import read_url
from control_plane.egress.networks import Networks, is_public
from control_plane.errors import TidegateError

NOT_PUBLIC = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",  # noqa: S104
    "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:7f00:1::1", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1",
)  # fmt: skip
PUBLIC = ("1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255",
          "2606:4700::1111", "2a00:1450:4001:81b::200e")  # fmt: skip

REFUSED = (
    "", "example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
    "https:/example.com", "https:///path", "https://", "https://user@example.com/",
    "https://user:pw@example.com/", "https://example.com@10.0.0.1/", "https://example.com#x",
    "https://example.com\\@10.0.0.1/", "https://example.com /", " https://example.com/",
    "https://example.com/\n", "https://exa\tmple.com/", "https://example.com/\u00e9",
    "https://ex\u00e4mple.com/", "https://\uff11\uff12\uff17.0.0.1/", "https://example.com./",
    "https://127.0.0.1./", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
    "https://127.1/", "https://0177.0.0.1/", "https://127.0.0.01/", "https://127.0.0.1.5/",
    "https://0/", "https://1.2.3.0x4/", "https://example.0x/", "https://[::1%25eth0]/",
    "https://[fe80::1%eth0]/", "https://[::1/", "https://::1/", "https://[127.0.0.1]/",
    "https://[v1.x]/", "https://-a.com/", "https://a-.com/", "https://a..com/",
    "https://.com/", "https://%31%32%37.0.0.1/", "https://example.com:0/",
    "https://example.com:25/", "https://example.com:80/", "https://example.com:6379x/",
    "https://example.com:65536/", "https://example.com:/", "https://example.com:0443/",
    "https://example.com:+443/", "https://" + "a" * 64 + ".com/", "https://example.com/<>",
    "https://example.com/" + "a" * 2048, "http://example.com:443/",
)  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_reach_into_networks_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    assert Networks(()).fault([text], is_plain=False) == "is not public"


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_called(text: str) -> None:
    assert is_public(ip_address(text))
    assert Networks(()).fault([text], is_plain=False) is None


@given(st.ip_addresses())
def test_no_address_that_python_calls_private_is_public(address: object) -> None:
    if is_public(address):  # type: ignore[arg-type]
        assert ip_address(str(address)).is_global


def test_one_bad_address_of_several_is_enough() -> None:
    networks = Networks(("10.1.0.0/16", "fd00::/8"))
    assert networks.fault(["8.8.8.8", "10.0.0.1"], is_plain=False) == "is not public"
    assert networks.fault(["8.8.8.8", "10.1.0.1"], is_plain=False) is None
    assert networks.fault([], is_plain=False) == "has no address"
    assert networks.fault(["fd00::1%eth0"], is_plain=False) == "is not public"


def test_plain_http_is_for_configured_networks_only() -> None:
    networks = Networks(("10.1.0.0/16",))
    assert networks.fault(["10.1.0.1"], is_plain=True) is None
    assert networks.fault(["10.1.0.1", "8.8.8.8"], is_plain=True) == "must be https"


@pytest.mark.parametrize("text", REFUSED)
def test_addresses_that_can_be_read_in_two_ways_are_refused(text: str) -> None:
    with pytest.raises(TidegateError) as caught:
        read_url(text)
    assert caught.value.code == "ADDRESS_REFUSED"
    assert caught.value.details["issue"]


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "authority"),
    [
        ("https://Example.COM", "example.com", 443, "/", "example.com"),
        ("https://example.com:443/a?b=c", "example.com", 443, "/a?b=c", "example.com"),
        ("https://example.com:8443?q=/", "example.com", 8443, "/?q=/", "example.com:8443"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", None),
        ("http://a_b.internal:8080/%2e%2e/x", "a_b.internal", 8080, "/%2e%2e/x", None),
        ("https://[2606:4700::1111]:8443/", "2606:4700::1111", 8443, "/", None),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/", "1.1.1.1"),
    ],
)
def test_what_an_address_says(
    text: str, host: str, port: int, target: str, authority: str | None
) -> None:
    url = read_url(text)
    assert (url.host, url.port, url.target) == (host, port, target)
    assert authority is None or url.authority == authority
    assert url.is_literal == ((host[0].isdigit() and ":" not in host[:4]) or ":" in host)
