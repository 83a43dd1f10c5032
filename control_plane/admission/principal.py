"""Who calls, once that is known."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from control_plane.admission.accounts.shapes import Limits

Kind = Literal["key", "token", "anonymous"]


class Principal(Struct, frozen=True):
    """A caller with its rights and limits.

    Attributes:
        kind: How it proved who it is.
        subject: Whose limits it shares: ``t:<tenant>``, or ``a:<network>`` of an anonymous caller.
        tenant: The tenant's id; empty for an anonymous caller.
        client: Who of the tenant: ``k:<key id>``, ``j:<digest>`` of a token's issuer and subject,
            or the subject itself.
        tier: Name of the tier.
        limits: The tier's with the tenant's overrides.
        scopes: What it may do.
        expires_at: Epoch second after which it has to be resolved again; 0 for never.
    """

    kind: Kind
    subject: str
    tenant: str
    client: str
    tier: str
    limits: Limits
    scopes: tuple[str, ...]
    expires_at: int = 0

    def may(self, action: str, target: str = "*") -> bool:
        """True if a scope covers an action on a target.

        Args:
            action: ``predict``, ``jobs``, ``explain``, ``uploads`` or ``admin``.
            target: Public name of a model; of ``admin`` resource and verb: ``tenants:write``.
        """
        return _allowed(self.scopes, action, target)


@lru_cache(maxsize=4096)
def _allowed(scopes: tuple[str, ...], action: str, target: str) -> bool:
    return any(_covers(scope, action, target) for scope in scopes)


def _covers(scope: str, action: str, target: str) -> bool:
    """``predict`` covers every model, ``predict:wine-*`` those whose name fits.

    ``admin:tenants`` covers ``tenants:read`` and ``tenants:write``.
    """
    named, _, pattern = scope.partition(":")
    if named != action or not pattern:
        return named == action
    return fnmatchcase(target, pattern) or fnmatchcase(target, f"{pattern}:*")
