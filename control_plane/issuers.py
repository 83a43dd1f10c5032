"""What operators say of an OpenID provider whose access tokens are taken."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from control_plane.patterns import exactly

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
                    "ES256", "ES384", "ES512", "EdDSA"]  # fmt: skip
_ISSUER: Final = exactly(
    r"https://[^\s?#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[^\s?#]*)?"
)


class OidcIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID provider whose access tokens are taken.

    Attributes:
        issuer: Its identifier: exactly the claim ``iss``.
        audience: What ``aud`` has to contain.
        algorithms: Signature algorithms that are taken.
        tenant_claim: Claim that names the tenant.
        tier_claim: Claim that names the tier of a tenant that is not known yet.
        default_tier: Tier of a tenant that is not known yet and whose token names none; without
            either such a token is refused.
        scope_claim: Claim with the scopes: a list, or one string with spaces between.
        scopes: Scopes of a token whose claim is missing.
        tenants: Patterns of the tenants that this provider may speak for.
        token_types: What ``typ`` may be, lower case.
    """

    issuer: Annotated[str, Meta(pattern=_ISSUER, max_length=512)]
    audience: Annotated[str, Meta(min_length=1, max_length=512)]
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1, max_length=10)] = ("RS256",)
    tenant_claim: Annotated[str, Meta(min_length=1, max_length=128)] = "client_id"
    tier_claim: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    default_tier: Annotated[str, Meta(pattern=exactly("[a-z0-9][a-z0-9_-]{0,62}"))] | None = None
    scope_claim: Annotated[str, Meta(min_length=1, max_length=128)] = "scope"
    scopes: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    tenants: Annotated[tuple[Annotated[str, Meta(max_length=63)], ...], Meta(min_length=1)] = ("*",)
    token_types: Annotated[
        tuple[Annotated[str, Meta(pattern=exactly("[a-z0-9.+/-]{1,64}"))], ...], Meta(min_length=1)
    ] = ("at+jwt", "application/at+jwt")
