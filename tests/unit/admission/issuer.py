"""An OpenID provider in the test's own process: signs what it is told and counts who asks."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from control_plane.issuers import OidcIssuer

AUDIENCE = "https://api.tidegate.test"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
NEXT_RSA = RSAKey.generate_key(2048, {"kid": "next", "use": "sig"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_ANY = jws.JWSRegistry(algorithms=[*ALGORITHMS, "HS256", "RS512"], strict_check_header=False)
_ANY.max_header_length = 100_000


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(payload: bytes | Mapping[str, Any], key: Key = RSA, **header: Any) -> str:
    """A token with any payload and header; a header parameter of None is left out."""
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    parameters = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid} | header
    kept = {name: value for name, value in parameters.items() if value is not None}
    return jws.serialize_compact(kept, payload, key, registry=_ANY)


class LocalIssuer:
    """A provider on the loopback address.

    Attributes:
        issuer: Its identifier.
        keys: What its JWK set holds.
        counts: Requests by path.
        discovery: Members of the discovery document in place of the sound ones.
        status: Status of every answer.
        raw: Body of the JWK set in place of the keys.
        headers: Further headers of every answer.
        hangs: True if it takes requests and never answers.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self.keys: list[Any] = [RSA, EC, ED]
        self.counts: Counter[str] = Counter()
        self.discovery: dict[str, Any] = {}
        self.status = 200
        self.raw: bytes | None = None
        self.headers = b""
        self.hangs = False

    def rules(self, **changes: Any) -> OidcIssuer:
        """How its tokens are taken."""
        fields = {"issuer": self.issuer, "audience": AUDIENCE, "algorithms": ALGORITHMS}
        return OidcIssuer(**fields | changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Sound claims with some replaced; None takes one out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "somebody", "client_id": "acme",
                  "exp": now + 600, "iat": now, "jti": "1", "scope": "predict"}  # fmt: skip
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, **changes: Any) -> str:
        """A sound token with some of its claims replaced."""
        return sign(self.claims(**changes))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.counts[path] += 1
        if self.hangs:
            await reader.read()
        body = self._body(path)
        writer.write(
            b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n"
            % (self.status, len(body), self.headers)
            + body
        )
        writer.close()

    def _body(self, path: str) -> bytes:
        if path.endswith("/.well-known/openid-configuration"):
            sound = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"}
            return json.dumps(sound | self.discovery).encode()
        if self.raw is not None:
            return self.raw
        keys = [key if isinstance(key, dict) else key.as_dict(private=False) for key in self.keys]
        return json.dumps({"keys": keys}).encode()

    @property
    def fetches(self) -> int:
        """Times that the JWK set was asked for."""
        return self.counts["/realm/jwks"]


@asynccontextmanager
async def local_issuer() -> AsyncIterator[LocalIssuer]:
    """A running provider."""
    issuer = LocalIssuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/realm"
    try:
        yield issuer
    finally:
        server.close()
