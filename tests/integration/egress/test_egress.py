"""Calls watched at the socket: what is refused gets no packet, who is called is who it says."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from control_plane.egress.calls import Egress
from control_plane.egress.destinations import CallFailed
from control_plane.errors import TidegateError
from control_plane.setting_groups import EgressSettings

LOOPBACK = EgressSettings(networks=("127.0.0.0/8",))
NAME = "receiver.example"

_watched = threading.local()


class Packets:
    """Connections and datagrams that this thread's code began, as the interpreter sees them.

    Attributes:
        targets: Addresses.
    """

    def __init__(self) -> None:
        self.targets: list[Any] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    packets = getattr(_watched, "packets", None)
    if packets is not None and event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        packets.targets.append(arguments[1])


sys.addaudithook(_audit)


@pytest.fixture
def packets() -> Iterator[Packets]:
    """What leaves the house during a test."""
    _watched.packets = Packets()
    yield _watched.packets
    _watched.packets = None


class Seen(NamedTuple):
    """What a server got.

    Attributes:
        head: Request line and headers.
        body: The rest.
    """

    head: str
    body: bytes


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[int]:
    """The port of a server on the loopback address."""
    server = await asyncio.start_server(serve, host, 0, **more)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(answer: bytes, seen: list[Seen]) -> Serve:
    """A server that answers every call alike."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = 0
            for line in head.lower().split("\r\n"):
                if line.startswith("content-length: "):
                    length = int(line.split(" ")[1])
            seen.append(Seen(head, await reader.readexactly(length)))
            writer.write(answer)
            await writer.drain()
        writer.close()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"

BAD = (
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "169.254.169.254", "192.168.0.1",  # noqa: S104
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fec0::1",
    "fe80::1%lo", "fd00::1", "ff02::1",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", BAD)
async def test_bad_addresses_get_no_packet(scheme: str, address: str, packets: Packets) -> None:
    """As they stand, and as what a name resolves to."""
    reached: list[Seen] = []
    async with (
        listening(answering(OK, reached)) as port,
        listening(answering(OK, reached), "::1", reuse_port=False) as port_6,
    ):
        egress = Egress(EgressSettings(), lookup=lambda _: [address])
        there = port_6 if ":" in address else port
        literal = f"[{address}]" if ":" in address else address
        for host in (literal, NAME, "localhost"):
            for step in (
                egress.post(f"{scheme}://{host}:{there}/", b"x", {}, 2.0),
                egress.get(f"{scheme}://{host}:{there}/", 0, 10),
                egress.check(f"{scheme}://{host}:{there}/"),
            ):
                with pytest.raises(TidegateError) as caught:
                    await step
                assert caught.value.code == "ADDRESS_REFUSED"
                shown = f"{caught.value.message} {caught.value.details}"
                assert address not in shown
        assert not packets.targets
        assert not reached


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "localhost.",
     "%31%32%37.0.0.1", "user@127.0.0.1", "example.com\\@127.0.0.1", "\uff11\uff12\uff17.0.0.1"],
)  # fmt: skip
async def test_other_spellings_of_the_loopback_get_no_packet(host: str, packets: Packets) -> None:
    """With the system's own resolver, which takes most of them."""
    egress = Egress(EgressSettings(networks=("10.0.0.0/8",)))
    with pytest.raises(TidegateError) as caught:
        await egress.post(f"https://{host}:8443/", b"x", {}, 2.0)
    assert caught.value.code == "ADDRESS_REFUSED"
    assert not packets.targets


async def test_a_good_address_among_bad_ones_does_not_help(packets: Packets) -> None:
    egress = Egress(LOOPBACK, lookup=lambda _: ["127.0.0.1", "10.0.0.1"])
    with pytest.raises(TidegateError):
        await egress.post(f"https://{NAME}/", b"x", {}, 2.0)
    assert not packets.targets


async def test_a_name_that_changes_its_mind_is_asked_once(packets: Packets) -> None:
    """Rebinding: the call goes to what was checked, whatever the second answer says."""
    seen: list[Seen] = []
    answers = iter((["127.0.0.1"], ["10.0.0.1"]))
    async with listening(answering(OK, seen)) as port:
        egress = Egress(LOOPBACK, lookup=lambda _: next(answers))
        answer = await egress.post(f"http://{NAME}:{port}/a?b", b"hello", {"x-y": "z"}, 5.0)
        assert answer.status == 200
        assert packets.targets == [("127.0.0.1", port)]
        with pytest.raises(TidegateError):
            await egress.post(f"http://{NAME}:{port}/", b"hello", {}, 5.0)
        assert packets.targets == [("127.0.0.1", port)]
    (got,) = seen
    assert got.head.startswith("POST /a?b HTTP/1.1\r\n")
    assert f"host: {NAME}:{port}\r\n" in got.head.lower()
    assert "x-y: z\r\n" in got.head.lower()
    assert got.body == b"hello"


async def test_proxies_of_the_environment_and_redirects_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, packets: Packets
) -> None:
    seen: list[Seen] = []
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with listening(answering(redirect, seen)) as port:
        answer = await Egress(LOOPBACK).post(f"http://127.0.0.1:{port}/", b"x", {}, 5.0)
    assert answer.status == 302
    assert packets.targets == [("127.0.0.1", port)]


async def test_an_answer_without_end_is_read_up_to_the_limit() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"\x1f" * 65_536)
                sent += 65_536
                await writer.drain()

    async with listening(endless) as port:
        egress = Egress(LOOPBACK)
        answer = await egress.get(f"http://127.0.0.1:{port}/", 0, 100_000)
        assert answer.body == b"\x1f" * 100_000
        assert (await egress.post(f"http://127.0.0.1:{port}/", b"x", {}, 5.0)).status == 200
    assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "protocol"),
        (b"nonsense\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 2_000_000 + b"\r\n\r\n", "protocol"),
        (None, "timeout"),
    ],
)
async def test_what_is_no_answer_has_a_name(sent: bytes | None, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if sent is None:
                await reader.read()
            else:
                writer.write(sent)
                await writer.drain()
        writer.close()

    async with listening(serve) as port:
        with pytest.raises(CallFailed) as caught:
            await Egress(LOOPBACK).get(f"http://127.0.0.1:{port}/", 0, 10, timeout_s=0.5)
    assert caught.value.reason == reason


async def test_who_is_not_there_has_a_name() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(CallFailed) as caught:
            await Egress(LOOPBACK).post(f"http://127.0.0.1:{port}/", b"", {}, 2.0)
    assert caught.value.reason == "connection"

    def unknown(_: str) -> list[str]:
        raise socket.gaierror

    egress = Egress(LOOPBACK, lookup=unknown)
    await egress.check(f"https://{NAME}/")
    with pytest.raises(CallFailed) as caught:
        await egress.post(f"https://{NAME}/", b"", {}, 2.0)
    assert caught.value.reason == "name"


async def test_a_resolver_that_hangs_holds_up_its_own_name_alone() -> None:
    release = threading.Event()

    def lookup(host: str) -> list[str]:
        if host != NAME:
            release.wait(30)
        return ["127.0.0.1"]

    seen: list[Seen] = []
    egress = Egress(LOOPBACK, lookup=lookup)
    async with listening(answering(OK, seen)) as port:
        stuck = [
            asyncio.create_task(egress.post(f"https://slow{n % 4}.example/", b"", {}, 0.4))
            for n in range(40)
        ]
        await asyncio.sleep(0)
        assert (await egress.post(f"http://{NAME}:{port}/", b"x", {}, 5.0)).status == 200
        reasons = await asyncio.gather(*stuck, return_exceptions=True)
    release.set()
    assert {getattr(reason, "reason", None) for reason in reasons} == {"timeout"}
    assert sum(thread.name.startswith("lookup of a name") for thread in threading.enumerate()) <= 4


class Authority(NamedTuple):
    """An authority of our own.

    Attributes:
        trusted: A context of clients that trust it.
        serving: A context of a server, by the names in its certificate.
    """

    trusted: ssl.SSLContext
    serving: Callable[..., ssl.SSLContext]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Makes certificates."""
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    root = _certificate(name, name, key, key, None)
    trusted = ssl.create_default_context(cadata=_pem(root).decode())

    def serving(*names: str) -> ssl.SSLContext:
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        file = folder / f"{names[0].replace(':', '_')}.pem"
        _write(file, own, _certificate(subject, name, own, key, names))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    return Authority(trusted, serving)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    own: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...] | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        shown = [_general(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(shown), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + _pem(certificate))


async def test_tls_verifies_the_name_that_was_asked_for(authority: Authority) -> None:
    """The connection goes to an address; the certificate has to be the name's."""
    seen: list[Seen] = []
    async with listening(answering(OK, seen), ssl=authority.serving(NAME)) as port:
        egress = Egress(LOOPBACK, context=authority.trusted, lookup=lambda _: ["127.0.0.1"])
        assert (await egress.post(f"https://{NAME}:{port}/", b"x", {}, 5.0)).status == 200
        for host in ("other.example", "127.0.0.1"):
            with pytest.raises(CallFailed) as caught:
                await egress.post(f"https://{host}:{port}/", b"x", {}, 5.0)
            assert caught.value.reason == "tls"
        untrusting = Egress(LOOPBACK, lookup=lambda _: ["127.0.0.1"])
        with pytest.raises(CallFailed) as caught:
            await untrusting.post(f"https://{NAME}:{port}/", b"x", {}, 5.0)
        assert caught.value.reason == "tls"
    assert len(seen) == 1


async def test_a_second_address_is_tried_when_the_first_does_not_connect(
    authority: Authority,
) -> None:
    seen: list[Seen] = []
    async with listening(answering(OK, seen), ssl=authority.serving(NAME)) as port:
        addresses = ["127.0.0.2", "127.0.0.1"]
        egress = Egress(LOOPBACK, context=authority.trusted, lookup=lambda _: addresses)
        answer = await egress.get(f"https://{NAME}:{port}/part", 10, 2)
    assert (answer.status, answer.body, answer.headers["x-a"]) == (200, b"ok", "b")
    assert "range: bytes=10-11\r\n" in seen[0].head.lower()
