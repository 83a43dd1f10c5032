"""Who calls: an API key, an access token or nobody, as a :class:`Principal`.

A request carries at most one credential: ``Authorization: Bearer`` with a key or a token, or
``X-API-Key`` with a key. Whatever is wrong with a key gets the same answer, so that nobody learns
which keys exist. Callers resolved lately are answered from memory (:meth:`Identity.known`), by a
keyed hash of what they sent, for as long as nothing that they were derived from has changed.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final, NoReturn

from msgspec import Struct

from control_plane.admission.identity.address import Addresses, is_within
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.grants import Verifier
from control_plane.admission.identity.resolver import Provision, Resolved, Resolver
from control_plane.admission.principal import Principal
from control_plane.admission.recent import Recent
from control_plane.errors import InvalidParameter, TidegateError, Unauthenticated

_REMEMBERED: Final = 10_000
_Peer = tuple[str, int] | None


class Hooks(Struct, frozen=True):
    """What others do for the identity.

    Attributes:
        provision: Makes the tenant that a token names: its id, its tier.
        on_bad_credentials: Told of each credential that was refused: its network, and a name for
            it that tells nothing of it and is the same in every process.
        slowed: Seconds for which refused credentials of a network are answered 429; 0 for none.
    """

    provision: Provision
    on_bad_credentials: Callable[[str, str], None] = lambda _network, _name: None
    slowed: Callable[[str], float] = lambda _: 0.0


class _Remembered(Struct, frozen=True, eq=False):
    """A caller and the epoch of the records and tokens that it was derived from."""

    resolved: Resolved
    epoch: int


class Identity:
    """Tells who calls; remembers the latest 10,000 credentials and as many anonymous networks."""

    def __init__(
        self,
        directory: Directory,
        tokens: Verifier,
        addresses: Addresses,
        hooks: Hooks,
        *,
        key_pepper: str,
        bootstrap_admin_key: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together.

        Args:
            directory: Records of tiers, tenants and keys.
            tokens: Verifies access tokens.
            addresses: Finds the client's address.
            hooks: What others do.
            key_pepper: The setting.
            bootstrap_admin_key: The setting: a key without a record.
            clock: Epoch seconds.
        """
        self._resolver = Resolver(
            directory,
            tokens,
            hooks.provision,
            key_pepper=key_pepper,
            bootstrap_admin_key=bootstrap_admin_key,
            clock=clock,
        )
        self._directory = directory
        self._tokens = tokens
        self._addresses = addresses
        self._hooks = hooks
        self._clock = clock
        self._pepper = blake2b(key_pepper.encode(), digest_size=32).digest()
        self._bearer = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._key = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._credentials: Recent[bytes, _Remembered] = Recent(_REMEMBERED)
        self._networks: Recent[str, _Remembered] = Recent(_REMEMBERED)

    def known(self, headers: Mapping[bytes, bytes], peer: _Peer) -> Principal | None:
        """A caller that was resolved lately; None if :meth:`resolve` has to be asked.

        Args:
            headers: By lower-case name.
            peer: The other end of the connection; None on a Unix socket.
        """
        bearer, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if bearer is None and key is None:
            remembered = self._networks.get(self._addresses.client(peer, headers).network)
        elif bearer is None or key is None:
            remembered = self._credentials.get(self._name(bearer, key))
        else:
            return None
        if remembered is None or remembered.epoch != self._directory.epoch + self._tokens.epoch:
            return None
        resolved = remembered.resolved
        if not self._directory.is_proven or self._clock() >= resolved.until:
            return None
        if resolved.networks:
            address = self._addresses.client(peer, headers).address
            return resolved.principal if is_within(address, resolved.networks) else None
        return resolved.principal

    async def resolve(self, headers: Mapping[bytes, bytes], peer: _Peer) -> Principal:
        """Who calls.

        Args:
            headers: By lower-case name.
            peer: The other end of the connection; None on a Unix socket.

        Raises:
            InvalidParameter: If it carries two credentials.
            Unauthenticated: If the credential is not valid, or is missing and needed.
            Forbidden: If it is valid, but not from here, or its tenant is suspended.
            TidegateError: ``TEMPORARILY_BLOCKED`` in place of Unauthenticated, if the client's
                network keeps sending bad credentials.
            AdmissionUnavailable: If that cannot be found out now.
        """
        bearer, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if bearer is not None and key is not None:
            raise InvalidParameter("X-API-Key", "stands beside Authorization; send one of them")
        client = self._addresses.client(peer, headers)
        epoch = self._directory.epoch + self._tokens.epoch
        if bearer is None and key is None:
            resolved = await self._resolver.nobody(client)
            self._networks.put(client.network, _Remembered(resolved, epoch))
            return resolved.principal
        try:
            if bearer is not None:
                resolved = await self._resolver.bearer(bearer, client)
            else:
                resolved = await self._resolver.key(key or b"", client)
        except Unauthenticated as error:
            self._refuse(client.network, bearer or key or b"", error)
        self._credentials.put(self._name(bearer, key), _Remembered(resolved, epoch))
        return resolved.principal

    def _name(self, bearer: bytes | None, key: bytes | None) -> bytes:
        """What a credential is remembered by, which tells nothing of it."""
        state = (self._key if bearer is None else self._bearer).copy()
        state.update(bearer or key or b"")
        return state.digest()

    def _refuse(self, network: str, presented: bytes, error: Unauthenticated) -> NoReturn:
        name = blake2b(presented, key=self._pepper, digest_size=8).hexdigest()
        self._hooks.on_bad_credentials(network, name)
        wait = self._hooks.slowed(network)
        if wait <= 0:
            raise error
        raise TidegateError(
            "Credentials that are not valid keep coming from this network",
            code="TEMPORARILY_BLOCKED",
            headers={"retry-after": str(math.ceil(wait))},
        ) from None
