"""JWT access tokens of the configured OpenID providers (RFC 9068), verified as RFC 8725 asks."""

from __future__ import annotations

import asyncio
import hashlib
import time
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key
from msgspec import Struct

from control_plane.admission.identity.claims import check_claims, check_header, read
from control_plane.admission.identity.grants import MAX_TOKEN, Verified, refused
from control_plane.admission.identity.oidc import COOLDOWN_S, Provider
from control_plane.admission.recent import Recent
from control_plane.issuers import OidcIssuer

REMEMBER_S: Final = 60
_REMEMBERED: Final = 10_000

# An operator who names EdDSA means it; the warning is about the name (RFC 9864).
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)


class _Issuer(Struct, frozen=True, eq=False):
    rules: OidcIssuer
    provider: Provider
    registry: jws.JWSRegistry


class Tokens:
    """Verifies tokens; a valid one is remembered for at most a minute, by its SHA-256.

    Attributes:
        epoch: Grows when a provider withdraws a key: what was derived from tokens before has to
            be derived again.
    """

    def __init__(
        self,
        issuers: Sequence[OidcIssuer],
        http: httpx.AsyncClient,
        *,
        cooldown_s: float = COOLDOWN_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the providers; nothing is fetched before the first token.

        Args:
            issuers: Whose tokens are taken.
            http: A client for their documents.
            cooldown_s: Seconds between two fetches for the sake of unknown keys.
            clock: Epoch seconds.
        """
        self.epoch = 0
        self._clock = clock
        self._verified: Recent[bytes, Verified] = Recent(_REMEMBERED)
        self._issuers = {
            rules.issuer: _Issuer(
                rules,
                Provider(rules.issuer, http, cooldown_s=cooldown_s, removed=self._withdrawn),
                _registry(rules),
            )
            for rules in issuers
        }

    async def verify(self, token: str) -> Verified:
        """Verify a token.

        Raises:
            Unauthenticated: If it is not valid.
            AdmissionUnavailable: If its issuer's keys cannot be had.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise refused(f"is not ASCII of at most {MAX_TOKEN} bytes")
        name = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(name)
        if known is not None and self._clock() < known.good_until:
            return known
        said = read(token)
        named = said.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise refused("is of an issuer that is not taken")
        algorithm, kid = check_header(said.header, issuer.rules)
        key = await issuer.provider.key(kid, algorithm)
        if key is None or not _is_signed(token, key, issuer.registry):
            raise refused("is not signed by a key of its issuer")
        now = self._clock()
        grant = check_claims(said.claims, issuer.rules, now)
        verified = Verified(grant, min(grant.expires_at, now + REMEMBER_S))
        self._verified.put(name, verified)
        return verified

    async def close(self) -> None:
        """Give up fetches that are under way."""
        await asyncio.gather(*(issuer.provider.close() for issuer in self._issuers.values()))

    def _withdrawn(self) -> None:
        self.epoch += 1
        self._verified.clear()


@asynccontextmanager
async def open_tokens(issuers: Sequence[OidcIssuer]) -> AsyncIterator[Tokens]:
    """Tokens of some providers, whose documents are fetched over a client of their own."""
    async with httpx.AsyncClient() as http:
        tokens = Tokens(issuers, http)
        try:
            yield tokens
        finally:
            await tokens.close()


def _registry(rules: OidcIssuer) -> jws.JWSRegistry:
    """The issuer's algorithms and no other; unknown header parameters are ignored (RFC 7515)."""
    registry = jws.JWSRegistry(algorithms=rules.algorithms, strict_check_header=False)
    registry.max_header_length = MAX_TOKEN
    return registry


def _is_signed(token: str, key: Key, registry: jws.JWSRegistry) -> bool:
    try:
        jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError, TypeError):
        return False
    return True
