"""What a JWT says, and whether it may say so: the rules of RFC 8725 and RFC 9068, no keys, no I/O.

Taken are compact JWS of at most 8 KiB whose header and payload are JSON objects without a name
twice. Refused whatever they say: ``jku``, ``jwk``, ``x5u``, ``x5c`` (keys that the token brings
along), any ``crit``, ``b64``, ``cty`` (a token in a token) and ID tokens. Clocks may differ by
30 s.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaimsValidator
from joserfc.errors import ClaimError, ExpiredTokenError, MissingClaimError
from msgspec import Struct

from control_plane.admission.accounts.shapes import OPERATORS, TENANT_ID, Scope
from control_plane.admission.identity.grants import MAX_TOKEN, Grant, refused
from control_plane.issuers import OidcIssuer

LEEWAY_S: Final = 30
_MAX_SCOPES: Final = 64
_MAX_KID: Final = 256
_LATEST: Final = 253_402_300_799
_SEGMENTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_REFUSED_PARAMETERS: Final = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip")
_ID_TOKEN_CLAIMS: Final = ("nonce", "at_hash", "c_hash", "s_hash", "events")


class Unverified(Struct, frozen=True):
    """What a token says of itself, before its signature is known to be right.

    Attributes:
        header: Its header.
        claims: Its payload.
    """

    header: dict[str, Any]
    claims: dict[str, Any]


def read(token: str) -> Unverified:
    """Take a token apart.

    Raises:
        Unauthenticated: If it is no signed JWT of at most 8 KiB.
    """
    if len(token) > MAX_TOKEN:
        raise refused(f"is larger than {MAX_TOKEN} bytes")
    match = _SEGMENTS.fullmatch(token)
    if match is None:
        raise refused("is not a signed JWT")
    try:
        header, claims, _ = (_decode(segment) for segment in match.groups())
        return Unverified(_object(header), _object(claims))
    except (ValueError, RecursionError):
        raise refused("is not a signed JWT") from None


def check_header(header: Mapping[str, Any], issuer: OidcIssuer) -> tuple[str, str | None]:
    """Check the header against what an issuer may use.

    Returns:
        The algorithm and the id of the key, None if it names none.

    Raises:
        Unauthenticated: If it is not allowed.
    """
    for name in _REFUSED_PARAMETERS:
        if name in header:
            raise refused(f"has the header parameter {name}, which is not taken")
    algorithm, kind, kid = header.get("alg"), header.get("typ"), header.get("kid")
    if algorithm not in issuer.algorithms:
        raise refused("is signed with an algorithm that its issuer may not use")
    if not isinstance(kind, str) or kind.lower() not in issuer.token_types:
        raise refused("is of another type than an access token")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _MAX_KID):
        raise refused("names no usable key")
    return algorithm, kid


def check_claims(claims: Mapping[str, Any], issuer: OidcIssuer, now: float) -> Grant:
    """Check the claims of a token whose signature is right.

    Args:
        claims: Its payload.
        issuer: Who signed it.
        now: Epoch seconds.

    Raises:
        Unauthenticated: If one of them is missing or does not allow the token to be taken.
    """
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _is_time(claims[name]):
            raise refused(f"has a claim {name} that is no time")
    if any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise refused("is of another type than an access token")
    try:
        JWTAccessTokenClaimsValidator(
            now=int(now),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            sub={"essential": True},
            exp={"essential": True},
        ).validate(claims)
    except ExpiredTokenError:
        raise refused("has expired") from None
    except MissingClaimError:
        raise refused("lacks one of the claims iss, aud, sub and exp") from None
    except ClaimError as error:
        raise refused(f"has a claim {error.claim} that is not taken") from None
    return Grant(
        tenant=_tenant(claims, issuer),
        tier=_tier(claims, issuer),
        client=_client(issuer.issuer, claims["sub"]),
        scopes=_scopes(claims, issuer),
        expires_at=claims["exp"] + LEEWAY_S,
    )


def _decode(segment: str) -> bytes:
    """Only the one text that encodes the bytes: a token cannot be changed and stay valid."""
    data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != segment.encode():
        raise ValueError
    return data


def _object(data: bytes) -> dict[str, Any]:
    value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - as any other text that is no JSON object
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_constant(_: str) -> None:
    raise ValueError


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _LATEST  # which NaN and infinity are not


def _tenant(claims: Mapping[str, Any], issuer: OidcIssuer) -> str:
    tenant = claims.get(issuer.tenant_claim)
    if (
        not isinstance(tenant, str)
        or not TENANT_ID.fullmatch(tenant)
        or tenant == OPERATORS
        or not any(fnmatchcase(tenant, pattern) for pattern in issuer.tenants)
    ):
        raise refused("names no tenant that its issuer may speak for")
    return tenant


def _tier(claims: Mapping[str, Any], issuer: OidcIssuer) -> str | None:
    tier = claims.get(issuer.tier_claim) if issuer.tier_claim is not None else None
    if tier is None:
        return issuer.default_tier
    if not isinstance(tier, str) or not TENANT_ID.fullmatch(tier):
        raise refused(f"has a claim {issuer.tier_claim} that names no tier")
    return tier


def _client(issuer: str, subject: str) -> str:
    text = f"{issuer}\n{subject}".encode("utf-8", "surrogatepass")
    return f"j:{hashlib.sha256(text).hexdigest()[:16]}"


def _scopes(claims: Mapping[str, Any], issuer: OidcIssuer) -> tuple[str, ...]:
    """The scopes that exist; an access token never administers."""
    named = claims.get(issuer.scope_claim)
    if isinstance(named, str):
        named = named.split(" ")
    if named is None:
        named = list(issuer.scopes)
    if not isinstance(named, list):
        raise refused(f"has a claim {issuer.scope_claim} that is no list of scopes")
    known = dict.fromkeys(name for name in named if _is_scope(name))
    return tuple(name for name in known if not name.startswith("admin"))[:_MAX_SCOPES]


def _is_scope(name: Any) -> bool:
    try:
        msgspec.convert(name, Scope)
    except msgspec.ValidationError:
        return False
    return True
