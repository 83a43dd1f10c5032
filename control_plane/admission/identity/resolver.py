"""From one credential to a :class:`Principal`: key or token, record, tenant, tier."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from msgspec import Struct

from control_plane.admission.accounts.shapes import ANONYMOUS, OPERATORS, ApiKey, Limits, Tenant
from control_plane.admission.identity import apikeys
from control_plane.admission.identity.address import Client, is_within
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.grants import MAX_TOKEN, Grant, Verifier
from control_plane.admission.principal import Principal
from control_plane.errors import AdmissionUnavailable, Forbidden, Unauthenticated

INVALID_KEY: Final = "The API key is not valid"
BOOTSTRAP: Final = "bootstrap"
"""In place of the id of the key that the settings name."""
_OPERATOR_LIMITS: Final = Limits(requests=6000, burst=1000, concurrency=100)
_NO_RECORD: Final = ApiKey(id="a" * 12, tenant=OPERATORS, digests=("0" * 64,))

Provision = Callable[[str, str], Awaitable[object]]


class Resolved(Struct, frozen=True):
    """A caller.

    Attributes:
        principal: Who it is.
        until: Epoch second after which it has to be resolved again.
        networks: Networks that it may call from; empty for any.
    """

    principal: Principal
    until: float = math.inf
    networks: tuple[str, ...] = ()


class Resolver:
    """Resolves each caller from its records; remembers none."""

    def __init__(
        self,
        directory: Directory,
        tokens: Verifier,
        provision: Provision,
        *,
        key_pepper: str,
        bootstrap_admin_key: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together.

        Args:
            directory: Records of tiers, tenants and keys.
            tokens: Verifies access tokens.
            provision: Makes the tenant that a token names: its id, its tier.
            key_pepper: The setting.
            bootstrap_admin_key: The setting: a key without a record.
            clock: Epoch seconds.
        """
        self._directory = directory
        self._tokens = tokens
        self._provision = provision
        self._pepper = key_pepper
        self._bootstrap = bootstrap_admin_key.encode()
        self._clock = clock

    async def nobody(self, client: Client) -> Resolved:
        """A caller without a credential.

        Raises:
            Unauthenticated: If there is no tier for such callers.
        """
        tier = await self._directory.tier(ANONYMOUS)
        if tier is None:
            raise Unauthenticated("An API key or an access token is needed")
        subject = f"a:{client.network}"
        return Resolved(
            Principal("anonymous", subject, "", subject, tier.name, tier.limits, ("predict",))
        )

    async def bearer(self, authorization: bytes, client: Client) -> Resolved:
        """A caller with the header ``Authorization`` (RFC 6750); see :meth:`key`."""
        scheme, _, value = authorization.partition(b" ")
        value = value.strip(b" \t")
        if scheme.lower() != b"bearer" or not 0 < len(value) <= MAX_TOKEN or not value.isascii():
            raise Unauthenticated(
                f"Authorization must be `Bearer` and a key or token of at most {MAX_TOKEN} bytes",
                error="invalid_token",
            )
        if value.startswith(apikeys.PREFIX.encode()):
            return await self.key(value, client)
        verified = await self._tokens.verify(value.decode("ascii"))
        return Resolved(await self._of_grant(verified.grant), verified.good_until)

    async def key(self, presented: bytes, client: Client) -> Resolved:
        """A caller with an API key.

        Raises:
            Unauthenticated: If the key is not valid, whatever is wrong with it.
            Forbidden: If it may not be used from here, or its tenant is suspended.
            AdmissionUnavailable: If that cannot be found out now.
        """
        if hmac.compare_digest(presented, self._bootstrap):
            return Resolved(_operator(BOOTSTRAP, ("admin",)))
        parsed = apikeys.parse(presented.decode("latin-1"))
        if parsed is None:
            raise _invalid_key()
        record = await self._directory.key(parsed.id)
        digest = apikeys.digest(parsed.text, self._pepper)
        ends = apikeys.closes_at(record or _NO_RECORD, digest)
        if record is None or self._clock() >= ends:
            raise _invalid_key()
        if record.networks and not is_within(client.address, record.networks):
            raise Forbidden(
                "The API key may not be used from this address", details={"reason": "network"}
            )
        return Resolved(await self._of_record(record, ends), ends, record.networks)

    async def _of_record(self, record: ApiKey, ends: float) -> Principal:
        """Operators call no model, and nobody else administers."""
        administers = tuple(name for name in record.scopes if name.partition(":")[0] == "admin")
        if record.tenant == OPERATORS:
            return _operator(record.id, administers, _whole(ends))
        tenant = await self._directory.tenant(record.tenant)
        if tenant is None:
            raise _invalid_key()
        scopes = tuple(name for name in record.scopes if name not in administers)
        return await self._of_tenant(tenant, "key", f"k:{record.id}", scopes, ends)

    async def _of_grant(self, grant: Grant) -> Principal:
        tenant = await self._directory.tenant(grant.tenant)
        if tenant is None:
            if grant.tier is None:
                raise Forbidden(
                    "The token's tenant is not known here", details={"reason": "tenant"}
                )
            await self._provision(grant.tenant, grant.tier)
            self._directory.forget(f"tenant:{grant.tenant}")
            tenant = await self._directory.tenant(grant.tenant)
        if tenant is None:
            raise AdmissionUnavailable("The token's tenant is being made known")
        return await self._of_tenant(tenant, "token", grant.client, grant.scopes, grant.expires_at)

    async def _of_tenant(
        self,
        tenant: Tenant,
        kind: Literal["key", "token"],
        client: str,
        scopes: tuple[str, ...],
        ends: float,
    ) -> Principal:
        if tenant.suspended:
            raise Forbidden("The tenant is suspended", details={"reason": "suspended"})
        tier = await self._directory.tier(tenant.tier)
        if tier is None:
            raise AdmissionUnavailable("The tenant's tier is not known")
        return Principal(
            kind=kind,
            subject=f"t:{tenant.id}",
            tenant=tenant.id,
            client=client,
            tier=tier.name,
            limits=tenant.overrides.over(tier.limits),
            scopes=scopes,
            expires_at=_whole(ends),
        )


def _operator(key_id: str, scopes: tuple[str, ...], expires_at: int = 0) -> Principal:
    return Principal(
        kind="key",
        subject=f"t:{OPERATORS}",
        tenant=OPERATORS,
        client=f"k:{key_id}",
        tier=OPERATORS,
        limits=_OPERATOR_LIMITS,
        scopes=scopes,
        expires_at=expires_at,
    )


def _invalid_key() -> Unauthenticated:
    return Unauthenticated(INVALID_KEY, error="invalid_token")


def _whole(ends: float) -> int:
    return 0 if ends == math.inf else int(ends)
