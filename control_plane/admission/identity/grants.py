"""What an access token stands for, and who verifies one: free of any library for tokens.

Verifying loads 10 MiB of libraries (``tokens.py``), which a process without providers never needs.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from control_plane.errors import Unauthenticated

MAX_TOKEN: Final = 8192
"""Bytes of a token that is looked at."""


class Grant(Struct, frozen=True):
    """What a valid token stands for.

    Attributes:
        tenant: Id of the tenant.
        tier: Tier of the tenant if it is not known yet; None if nothing names one.
        client: ``j:`` and a digest of issuer and subject.
        scopes: What it may do.
        expires_at: Epoch second after which it is not taken, the leeway included.
    """

    tenant: str
    tier: str | None
    client: str
    scopes: tuple[str, ...]
    expires_at: float


class Verified(Struct, frozen=True):
    """A token that was found valid.

    Attributes:
        grant: What it stands for.
        good_until: Epoch second after which it has to be verified again.
    """

    grant: Grant
    good_until: float


class Verifier(Protocol):
    """Verifies access tokens."""

    @property
    def epoch(self) -> int:
        """Grows when what was derived from tokens before has to be derived again."""

    async def verify(self, token: str) -> Verified:
        """Verify a token.

        Raises:
            Unauthenticated: If it is not valid.
            AdmissionUnavailable: If that cannot be found out now.
        """


class NoIssuers:
    """Takes no token: no provider is configured.

    Attributes:
        epoch: Always 0.
    """

    epoch: Final = 0

    async def verify(self, token: str) -> Verified:
        """Refuse a token."""
        raise refused("is of an issuer that is not taken")


def refused(reason: str) -> Unauthenticated:
    """The error of a token that is not taken.

    Args:
        reason: Ends the sentence "The access token …".
    """
    return Unauthenticated(f"The access token {reason}", error="invalid_token")
