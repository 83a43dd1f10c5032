"""The signing keys of one OpenID provider: found, cached, rotated, and kept when it is away.

Found by OpenID Connect Discovery 1.0, over https (plain http only if the issuer itself is on the
loopback address), without redirects, at most 256 KiB and 5 s a document. They are fetched again

- in the background of a call, once they are 10 minutes old;
- when a token names a key that is not among them: at most once in a cooldown (30 s), however many
  such tokens come.

A provider that is away is survived for 24 h on the keys known. Symmetric and private keys, RSA keys
of less than 2048 bits and keys for encryption are ignored.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from msgspec import Struct

from control_plane.errors import AdmissionUnavailable
from control_plane.tasks import end

log = logging.getLogger(__name__)

COOLDOWN_S: Final = 30.0
REFRESH_S: Final = 600.0
KEEP_S: Final = 86_400.0
FIRST_RETRY_S: Final = 2.0
"""Seconds between two attempts while no key at all is known."""
FETCH_S: Final = 5.0
MAX_DOCUMENT: Final = 262_144
_MAX_KEYS: Final = 100
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")


class SigningKey(Struct, frozen=True, eq=False):
    """A public key of a provider.

    Attributes:
        kid: Its id; None if the provider gives none.
        algorithm: The one algorithm that it is meant for; None for any that fits its type.
        key: The key.
        thumbprint: RFC 7638, of the key itself.
    """

    kid: str | None
    algorithm: str | None
    key: Key
    thumbprint: str

    def fits(self, algorithm: str) -> bool:
        """True if a signature of the algorithm may be checked with it."""
        if self.algorithm not in {None, algorithm}:
            return False
        if isinstance(self.key, RSAKey):
            return algorithm[:2] in {"RS", "PS"}
        if isinstance(self.key, ECKey):
            return _CURVES.get(algorithm) == self.key.curve_name
        return isinstance(self.key, OKPKey) and algorithm == "EdDSA"


class _Fault(Exception):
    """The provider did not answer as it should; the text is safe for the log."""


class Provider:
    """The keys of one issuer."""

    def __init__(
        self,
        issuer: str,
        http: httpx.AsyncClient,
        *,
        cooldown_s: float = COOLDOWN_S,
        removed: Callable[[], None] = lambda: None,
    ) -> None:
        """Name the provider; nothing is fetched yet.

        Args:
            issuer: Its identifier.
            http: A client; redirects and time are limited here.
            cooldown_s: Seconds between two fetches for the sake of keys that are not known.
            removed: Called when a key that was known is no longer.
        """
        self._issuer = issuer
        self._http = http
        self._cooldown_s = cooldown_s
        self._removed = removed
        self._keys: tuple[SigningKey, ...] = ()
        self._jwks_uri: str | None = None
        self._good_at = -math.inf
        self._tried_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that a token of this issuer is to be checked with.

        Args:
            kid: Its id; without one there must be just one that fits.
            algorithm: Of the signature.

        Returns:
            None if there is no such key.

        Raises:
            AdmissionUnavailable: If the provider could not be reached for 24 h, or ever.
        """
        now = monotonic()
        if now > self._good_at + KEEP_S:
            await self._fetch(min(self._cooldown_s, FIRST_RETRY_S))
            if monotonic() > self._good_at + KEEP_S:
                raise AdmissionUnavailable("The keys of the token's issuer cannot be read now")
        elif now > self._good_at + REFRESH_S and now >= self._tried_at + self._cooldown_s:
            self._begin()
        if kid is not None and all(known.kid != kid for known in self._keys):
            await self._fetch(self._cooldown_s)
        fitting = [
            known.key
            for known in self._keys
            if (kid is None or known.kid == kid) and known.fits(algorithm)
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            await end([self._fetching])

    async def _fetch(self, cooldown_s: float) -> None:
        """Fetch, or join the fetch under way; nothing if the last one was too short ago."""
        if self._fetching is None and monotonic() < self._tried_at + cooldown_s:
            return
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = monotonic()
            self._fetching = asyncio.get_running_loop().create_task(self._load())
        return self._fetching

    async def _load(self) -> None:
        try:
            if self._jwks_uri is None or monotonic() > self._good_at + REFRESH_S:
                document = await _get(self._http, get_well_known_url(self._issuer, external=True))
                self._jwks_uri = jwks_uri(document, self._issuer)
            self._replace(signing_keys(await _get(self._http, self._jwks_uri)))
        except (_Fault, httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            self._jwks_uri = None
            reason = str(error) if isinstance(error, _Fault) else type(error).__name__
            log.warning(
                "the keys of an OpenID provider were not read",
                extra={"issuer": self._issuer, "fault": reason},
            )
        finally:
            self._fetching = None

    def _replace(self, keys: tuple[SigningKey, ...]) -> None:
        gone = {(k.kid, k.thumbprint) for k in self._keys} - {(k.kid, k.thumbprint) for k in keys}
        self._keys, self._good_at = keys, monotonic()
        if gone:
            self._removed()


def jwks_uri(document: dict[str, Any], issuer: str) -> str:
    """Where the keys are, from a discovery document.

    Raises:
        Exception: With a reason for the log, if the document is not sound or another issuer's.
    """
    if document.get("issuer") != issuer:
        raise _Fault("the discovery document is of another issuer")
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        raise _Fault("the discovery document names no jwks_uri")
    if _is_loopback(issuer) and _is_loopback(uri):
        return uri
    metadata = OpenIDProviderMetadata(document)
    try:
        metadata.validate_issuer()
        metadata.validate_jwks_uri()
    except ValueError as error:
        raise _Fault(str(error)) from None
    if urlsplit(uri).scheme != "https":
        raise _Fault("jwks_uri is not https")
    return uri


def signing_keys(document: dict[str, Any]) -> tuple[SigningKey, ...]:
    """The keys of a JWK set (RFC 7517) that may sign; others are passed over."""
    members = document.get("keys")
    if not isinstance(members, list):
        raise _Fault("the JWK set has no keys")
    return tuple(_usable(members[:_MAX_KEYS]))


def _usable(members: Iterable[Any]) -> Iterable[SigningKey]:
    for member in members:
        if not isinstance(member, dict) or not _may_sign(member):
            continue
        try:
            key = JWKRegistry.import_key({k: member[k] for k in _PUBLIC if k in member})
            size = key.public_key.key_size if isinstance(key, RSAKey) else 2048
            thumbprint = key.thumbprint()
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if 2048 <= size <= 8192:
            yield SigningKey(member.get("kid"), member.get("alg"), key, thumbprint)


def _may_sign(member: dict[str, Any]) -> bool:
    texts = all(isinstance(member.get(name), str | None) for name in ("kid", "alg"))
    operations = member.get("key_ops")
    return (
        texts
        and member.get("kty") in ("RSA", "EC", "OKP")
        and member.get("use") in (None, "sig")
        and "d" not in member
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


async def _get(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    if urlsplit(url).scheme != "https" and not _is_loopback(url):
        raise _Fault("only https is used, except on the loopback address")
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    body = bytearray()
    async with (
        asyncio.timeout(FETCH_S),
        http.stream("GET", url, headers=headers, follow_redirects=False) as answer,
    ):
        if answer.status_code != 200:
            raise _Fault(f"status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _Fault("the document is compressed")
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise _Fault(f"the document is larger than {MAX_DOCUMENT} bytes")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _Fault("the document is no JSON object") from None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
