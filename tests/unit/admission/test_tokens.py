"""Access tokens: the sound are taken, a corpus of attacks is not, providers are asked rarely."""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import ssl
import string
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from control_plane.admission.identity import oidc
from control_plane.admission.identity.claims import (
    LEEWAY_S,
    MAX_TOKEN,
    check_claims,
    check_header,
    read,
)
from control_plane.admission.identity.oidc import signing_keys
from control_plane.admission.identity.tokens import Tokens
from control_plane.errors import AdmissionUnavailable, Unauthenticated
from control_plane.issuers import OidcIssuer
from tests.unit.admission.issuer import (
    EC,
    ED,
    NEXT_RSA,
    RSA,
    STRANGER,
    LocalIssuer,
    encode,
    local_issuer,
    sign,
)

RULES = OidcIssuer(issuer="https://idp.test", audience="https://api.tidegate.test")
REGISTRY = jws.JWSRegistry(algorithms=["RS256"])
TLS = ssl.create_default_context()
"""Shared, since reading the authorities takes longer than a test."""
pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
Forge = Callable[[LocalIssuer], str]


@asynccontextmanager
async def verifying(
    issuer: LocalIssuer, cooldown_s: float = 3600.0, **rules: Any
) -> AsyncIterator[Tokens]:
    async with httpx.AsyncClient(verify=TLS) as http:
        tokens = Tokens([issuer.rules(**rules)], http, cooldown_s=cooldown_s)
        try:
            yield tokens
        finally:
            await tokens.close()


async def accepts(tokens: Tokens, token: str) -> bool:
    try:
        await tokens.verify(token)
    except Unauthenticated as error:
        challenge, message = error.headers["www-authenticate"], error.message
    else:
        return True
    assert challenge == 'Bearer realm="tidegate", error="invalid_token"'
    assert not token or token not in message
    return False


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with local_issuer() as running:
        yield running


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")]
)
async def test_a_sound_token_is_taken(issuer: LocalIssuer, key: Any, algorithm: str) -> None:
    async with verifying(issuer) as tokens:
        verified = await tokens.verify(sign(issuer.claims(), key, alg=algorithm))
    assert verified.grant.tenant == "acme"
    assert verified.grant.scopes == ("predict",)
    assert verified.grant.client.startswith("j:")
    assert len(verified.grant.client) == 18


@pytest.mark.parametrize(
    "header",
    [{"typ": "AT+JWT"}, {"typ": "application/at+jwt"}, {"x5t": "abc"}, {"other": [1, {"a": 2}]}],
)
async def test_sound_headers(issuer: LocalIssuer, header: dict[str, Any]) -> None:
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, sign(issuer.claims(), **header))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["https://other.test", "https://api.tidegate.test"]},
        {"exp": 4e9},
        {"sub": "half a character: \ud800"},
        {"iat": None, "jti": None},
        {"scope": ["predict"]},
        {"deep": {"a": [{"b": 1}]}},
    ],
)
async def test_sound_claims(issuer: LocalIssuer, claims: dict[str, Any]) -> None:
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, issuer.token(**claims))


def with_hmac(issuer: LocalIssuer, secret: bytes) -> str:
    """Algorithm confusion: what everyone knows is taken for a shared secret."""
    header = {"alg": "HS256", "typ": "at+jwt", "kid": "rsa"}
    text = unsigned(header, issuer.claims()).rstrip(".")
    return f"{text}.{encode(hmac.digest(secret, text.encode(), 'sha256'))}"


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [encode(json.dumps(part).encode()) for part in (header, claims)]
    return ".".join([*parts, signature])


def _encrypted(issuer: LocalIssuer) -> str:
    public = RSAKey.import_key({name: PUBLIC[name] for name in ("kty", "n", "e")})
    header = {"alg": "RSA-OAEP", "enc": "A128CBC-HS256", "kid": "rsa", "typ": "at+jwt"}
    return jwe.encrypt_compact(header, json.dumps(issuer.claims()).encode(), public)


def _duplicated(issuer: LocalIssuer) -> str:
    text = json.dumps(issuer.claims())
    return sign((text[:-1] + ', "client_id": "other"}').encode())


def _duplicated_deeper(issuer: LocalIssuer) -> str:
    text = json.dumps(issuer.claims())
    return sign((text[:-1] + ', "x": {"a": 1, "a": 2}}').encode())


def _raw_number(issuer: LocalIssuer, number: str) -> str:
    text = json.dumps(issuer.claims(exp="@")).replace('"@"', number)
    return sign(text.encode())


def _with_other_signature(issuer: LocalIssuer) -> str:
    head = issuer.token().rpartition(".")[0]
    return f"{head}.{issuer.token(sub='other').rpartition('.')[2]}"


def _last_bits_changed(issuer: LocalIssuer) -> str:
    """256 bytes end in a character of which only two bits count."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    token = issuer.token()
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def _wrapped(issuer: LocalIssuer) -> str:
    return sign(issuer.token().encode(), cty="JWT")


PUBLIC = RSA.as_dict(private=False)
PAST, FUTURE = int(time.time()) - 3600, int(time.time()) + 3600

ATTACKS: dict[str, Forge] = {
    "none": lambda i: unsigned({"alg": "none", "typ": "at+jwt"}, i.claims()),
    "none with kid": lambda i: unsigned(
        {"alg": "none", "typ": "at+jwt", "kid": "rsa"}, i.claims(), "AAAA"
    ),
    "None": lambda i: unsigned({"alg": "None", "typ": "at+jwt", "kid": "rsa"}, i.claims(), "AAAA"),
    "no algorithm": lambda i: unsigned({"typ": "at+jwt", "kid": "rsa"}, i.claims(), "AAAA"),
    "an algorithm list": lambda i: unsigned(
        {"alg": ["RS256"], "typ": "at+jwt", "kid": "rsa"}, i.claims(), "AAAA"
    ),
    "no signature": lambda i: i.token().rpartition(".")[0] + ".",
    "two segments": lambda i: i.token().rpartition(".")[0],
    "four segments": lambda i: i.token() + ".AAAA",
    "HS256 with the public PEM": lambda i: with_hmac(i, RSA.as_pem(private=False)),
    "HS256 with the public JWK": lambda i: with_hmac(i, json.dumps(PUBLIC).encode()),
    "HS256 with the modulus": lambda i: with_hmac(i, PUBLIC["n"].encode()),
    "an algorithm not configured": lambda i: sign(i.claims(), alg="RS512"),
    "an algorithm not the key's": lambda i: sign(i.claims(), RSA, alg="RS256", kid="ec"),
    "ES256 with an RSA key's id": lambda i: sign(i.claims(), EC, alg="ES256", kid="rsa"),
    "another's key": lambda i: sign(i.claims(), STRANGER),
    "an empty kid": lambda i: sign(i.claims(), kid=""),
    "a kid that is a path": lambda i: sign(i.claims(), kid="../../dev/null"),
    "a long kid": lambda i: sign(i.claims(), kid="k" * 300),
    "a kid that is no text": lambda i: unsigned(
        {"alg": "RS256", "typ": "at+jwt", "kid": 1}, i.claims(), "AAAA"
    ),
    "another signature": _with_other_signature,
    "a signature of the same bytes": _last_bits_changed,
    "padding": lambda i: i.token() + "=",
    "a blank": lambda i: i.token() + " ",
    "a line break": lambda i: i.token().replace(".", ".\n", 1),
    "jku": lambda i: sign(i.claims(), STRANGER, jku=f"{i.issuer}/jwks"),
    "jku, soundly signed": lambda i: sign(i.claims(), jku=f"{i.issuer}/jwks"),
    "jwk": lambda i: sign(i.claims(), STRANGER, jwk=STRANGER.as_dict(private=False)),
    "jwk, soundly signed": lambda i: sign(i.claims(), jwk=PUBLIC),
    "x5u": lambda i: sign(i.claims(), x5u=f"{i.issuer}/cert"),
    "x5c": lambda i: sign(i.claims(), x5c=["AAAA"]),
    "crit unknown": lambda i: sign_crit(i, ["exp-policy"], **{"exp-policy": 1}),
    "crit known": lambda i: sign_crit(i, ["exp"], exp=FUTURE),
    "crit empty": lambda i: sign_crit(i, []),
    "crit b64": lambda i: sign_crit(i, ["b64"], b64=True),
    "b64": lambda i: sign(i.claims(), b64=True),
    "nested": _wrapped,
    "cty": lambda i: sign(i.claims(), cty="JWT"),
    "encrypted": _encrypted,
    "typ JWT": lambda i: sign(i.claims(), typ="JWT"),
    "no typ": lambda i: sign(i.claims(), typ=None),
    "ID token": lambda i: sign(i.claims(nonce="n", at_hash="h"), typ="JWT"),
    "ID token that claims to be none": lambda i: i.token(nonce="n"),
    "logout token": lambda i: sign(i.claims(events={}), typ="logout+jwt"),
    "another issuer": lambda i: i.token(iss="https://other.test"),
    "a longer issuer": lambda i: i.token(iss=i.issuer + "/"),
    "issuer in capitals": lambda i: i.token(iss=i.issuer.upper()),
    "issuers in a list": lambda i: i.token(iss=[i.issuer]),
    "no issuer": lambda i: i.token(iss=None),
    "another audience": lambda i: i.token(aud="https://other.test"),
    "a longer audience": lambda i: i.token(aud="https://api.tidegate.test/"),
    "audiences without ours": lambda i: i.token(aud=["a", "b"]),
    "no audiences": lambda i: i.token(aud=[]),
    "audiences that are no text": lambda i: i.token(aud=[{"a": 1}, "https://api.tidegate.test"]),
    "no audience": lambda i: i.token(aud=None),
    "no subject": lambda i: i.token(sub=None),
    "an empty subject": lambda i: i.token(sub=""),
    "a subject that is a number": lambda i: i.token(sub=7),
    "expired": lambda i: i.token(exp=PAST),
    "expired beyond the leeway": lambda i: i.token(exp=int(time.time()) - LEEWAY_S - 1),
    "no expiry": lambda i: i.token(exp=None),
    "expiry as text": lambda i: i.token(exp=str(FUTURE)),
    "expiry as a boolean": lambda i: i.token(exp=True),
    "expiry in a list": lambda i: i.token(exp=[FUTURE]),
    "expiry beyond the year 9999": lambda i: i.token(exp=10**15),
    "a huge expiry": lambda i: _raw_number(i, "1" + "0" * 400),
    "an infinite expiry": lambda i: _raw_number(i, "1e999"),
    "Infinity": lambda i: _raw_number(i, "Infinity"),
    "NaN": lambda i: _raw_number(i, "NaN"),
    "a negative expiry": lambda i: i.token(exp=-1),
    "not yet": lambda i: i.token(nbf=FUTURE),
    "not before, as text": lambda i: i.token(nbf="0"),
    "issued in the future": lambda i: i.token(iat=FUTURE),
    "issued at true": lambda i: i.token(iat=True),
    "no tenant": lambda i: i.token(client_id=None),
    "a tenant that is a number": lambda i: i.token(client_id=7),
    "a tenant that is no id": lambda i: i.token(client_id="Acme Ltd"),
    "a tenant that ends in a line break": lambda i: i.token(client_id="acme\n"),
    "the operators": lambda i: i.token(client_id="operators"),
    "scopes that are a number": lambda i: i.token(scope=7),
    "duplicated claims": _duplicated,
    "duplicated members": _duplicated_deeper,
    "a duplicated header": lambda i: duplicated_header(i),  # noqa: PLW0108 - defined below
    "oversized": lambda i: i.token(filler="x" * MAX_TOKEN),
    "oversized rubbish": lambda _: "a" * 1_000_000,
    "no JSON": lambda _: sign(b"hello"),
    "no object": lambda _: sign(b"[1]"),
    "broken UTF-8": lambda i: sign(json.dumps(i.claims()).encode()[:-1] + b',"a":"\xff"}'),
    "deep nesting": lambda i: sign(
        json.dumps(i.claims()).encode()[:-1] + b',"a":' + b"[" * 2500 + b"]" * 2500 + b"}"
    ),
    "beyond ASCII": lambda i: i.token() + "é",
    "empty": lambda _: "",
    "dots": lambda _: "..",
}


def sign_crit(issuer: LocalIssuer, names: list[str], **header: Any) -> str:
    """The library refuses to sign what it would refuse to read: sign by hand."""
    head = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa", "crit": names} | header
    return by_hand(json.dumps(head).encode(), json.dumps(issuer.claims()).encode())


def duplicated_header(issuer: LocalIssuer) -> str:
    head = b'{"alg":"RS256","typ":"JWT","typ":"at+jwt","kid":"rsa"}'
    return by_hand(head, json.dumps(issuer.claims()).encode())


def by_hand(header: bytes, payload: bytes) -> str:
    text = f"{encode(header)}.{encode(payload)}"
    signature = RSA.private_key.sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{encode(signature)}"


async def test_what_is_signed_by_hand_is_taken(issuer: LocalIssuer) -> None:
    token = by_hand(
        b'{"alg":"RS256","typ":"at+jwt","kid":"rsa"}', json.dumps(issuer.claims()).encode()
    )
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, token)


@pytest.mark.parametrize("name", ATTACKS)
async def test_no_attack_is_taken(issuer: LocalIssuer, name: str) -> None:
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, issuer.token())
        assert not await accepts(tokens, ATTACKS[name](issuer))
    assert issuer.fetches == 1


async def test_a_shared_secret_in_the_key_set_is_ignored(issuer: LocalIssuer) -> None:
    secret = b"s" * 32
    issuer.keys = [RSA, {"kty": "oct", "kid": "shared", "k": encode(secret), "alg": "HS256"}]
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, issuer.token())
        token = with_hmac(issuer, secret).partition(".")[2]
        head = encode(b'{"alg":"HS256","typ":"at+jwt","kid":"shared"}')
        text = f"{head}.{token.rpartition('.')[0]}"
        signature = encode(hmac.digest(secret, text.encode(), "sha256"))
        assert not await accepts(tokens, f"{text}.{signature}")


def test_random_changes_never_stay_valid() -> None:
    """Of every single change to a sound token none is sound."""
    text = sign({"iss": "i", "sub": "s"})
    rng = random.Random(20)
    alphabet = string.ascii_letters + string.digits + "-_.=+/ "
    mutants = set()
    for _ in range(3000):
        place, kind = rng.randrange(len(text)), rng.choice("rids")
        drawn = rng.choice(alphabet)
        after = {"r": drawn + text[place + 1 :], "i": drawn + text[place:],
                 "d": text[place + 1 :], "s": text[place + 1 : place + 2] + text[place]
                 + text[place + 2 :]}[kind]  # fmt: skip
        mutants.add(text[:place] + after)
    mutants.discard(text)
    assert len(mutants) > 1000
    assert not [mutant for mutant in mutants if _is_sound(mutant)]
    assert _is_sound(text)


def _is_sound(token: str) -> bool:
    try:
        read(token)
    except Unauthenticated:
        return False
    try:
        jws.deserialize_compact(token, RSA, registry=REGISTRY)
    except (JoseError, ValueError):
        return False
    return True


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_refused(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", encode(text.encode()) + ".e30.AAAA"):
        with pytest.raises(Unauthenticated):
            check(token)


def check(token: str) -> None:
    said = read(token)
    check_header(said.header, RULES)
    check_claims(said.claims, RULES, time.time())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "client_id", "scope", "amr"]),
    JSON,
)
def test_a_claim_of_any_value_is_taken_or_refused(name: str, value: Any) -> None:
    sound = {"iss": RULES.issuer, "aud": RULES.audience, "sub": "s", "exp": 2e9, "client_id": "a"}
    try:
        grant = check_claims(sound | {name: value}, RULES, 1e9)
    except Unauthenticated:
        return
    assert name not in {"iss", "aud"} or RULES.audience in (value, *value) or value == RULES.issuer
    assert not any(scope.startswith("admin") for scope in grant.scopes)
    assert 0 < grant.expires_at < 1e12


@given(st.sampled_from(["alg", "typ", "kid", "crit", "jwk"]), JSON)
def test_a_header_of_any_value_is_taken_or_refused(name: str, value: Any) -> None:
    sound = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
    try:
        algorithm, kid = check_header(sound | {name: value}, RULES)
    except Unauthenticated:
        return
    assert algorithm == "RS256"
    assert kid is None or isinstance(kid, str)
    assert name not in {"crit", "jwk"}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("predict jobs", ("predict", "jobs")),
        ("predict:wine-* predict", ("predict:wine-*", "predict")),
        (["explain", "explain"], ("explain",)),
        ("admin admin:* admin:tenants openid profile", ()),
        (["admin", 7, None, {"a": 1}, "PREDICT", "predict:"], ()),
        ("", ()),
        (None, ("uploads",)),
    ],
)
def test_scopes_are_those_that_exist_and_never_administer(
    named: Any, expected: tuple[str, ...]
) -> None:
    rules = msgspec.structs.replace(RULES, scopes=("uploads", "admin"))
    claims = {"iss": rules.issuer, "aud": rules.audience, "sub": "s", "exp": 2e9,
              "client_id": "a", "scope": named}  # fmt: skip
    assert check_claims(claims, rules, 1e9).scopes == expected


@pytest.mark.parametrize(
    ("rules", "claims", "expected"),
    [
        ({}, {}, ("acme", None)),
        ({"default_tier": "free"}, {}, ("acme", "free")),
        ({"default_tier": "free", "tier_claim": "plan"}, {"plan": "pro"}, ("acme", "pro")),
        ({"default_tier": "free", "tier_claim": "plan"}, {}, ("acme", "free")),
        ({"tenant_claim": "org"}, {"org": "beta"}, ("beta", None)),
        ({"tenants": ("ac*",)}, {}, ("acme", None)),
        ({"tenants": ("beta-*",)}, {}, None),
        ({"tenant_claim": "org"}, {}, None),
        ({"tier_claim": "plan"}, {"plan": 7}, None),
        ({"tier_claim": "plan"}, {"plan": "No Tier"}, None),
    ],
)
async def test_claims_are_mapped_by_configuration(
    issuer: LocalIssuer, rules: Any, claims: Any, expected: Any
) -> None:
    async with verifying(issuer, **rules) as tokens:
        token = issuer.token(**claims)
        assert await accepts(tokens, token) == (expected is not None)
        if expected is not None:
            grant = (await tokens.verify(token)).grant
            assert (grant.tenant, grant.tier) == expected


async def test_clients_differ_by_issuer_and_subject() -> None:
    base = {"aud": RULES.audience, "exp": 2e9, "client_id": "a"}
    clients = set()
    for name, subject in [("https://a", "b"), ("https://ab", ""[:0] + "c"), ("https://a", "c")]:
        rules = msgspec.structs.replace(RULES, issuer=name)
        clients.add(check_claims(base | {"iss": name, "sub": subject}, rules, 1e9).client)
    assert len(clients) == 3


async def test_ten_thousand_unknown_kids_cost_one_fetch(issuer: LocalIssuer) -> None:
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, issuer.token())
        claims = issuer.claims()
        forged = [unsigned({"alg": "RS256", "typ": "at+jwt", "kid": f"k{n}"}, claims, "AAAA")
                  for n in range(10_000)]  # fmt: skip
        taken = await asyncio.gather(*(accepts(tokens, token) for token in forged))
        assert not any(taken)
    assert issuer.fetches == 1


async def test_unknown_kids_at_once_share_a_fetch(issuer: LocalIssuer) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        assert await accepts(tokens, issuer.token())
        issuer.keys = [NEXT_RSA]
        fresh = [sign(issuer.claims(jti=str(n)), NEXT_RSA) for n in range(50)]
        assert all(await asyncio.gather(*(accepts(tokens, token) for token in fresh)))
    assert issuer.fetches == 2


async def test_the_first_tokens_share_a_fetch(issuer: LocalIssuer) -> None:
    async with verifying(issuer) as tokens:
        many = [issuer.token(jti=str(n)) for n in range(50)]
        assert all(await asyncio.gather(*(accepts(tokens, token) for token in many)))
    assert issuer.counts == {"/realm/jwks": 1, "/realm/.well-known/openid-configuration": 1}


async def test_a_known_kid_with_the_wrong_algorithm_costs_no_fetch(issuer: LocalIssuer) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        assert await accepts(tokens, issuer.token())
        assert not await accepts(tokens, sign(issuer.claims(), RSA, kid="ec"))
        assert not await accepts(tokens, sign(issuer.claims(), STRANGER))
    assert issuer.fetches == 1


async def test_a_withdrawn_key_ends_its_tokens_and_moves_the_epoch(issuer: LocalIssuer) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        old = issuer.token()
        assert await accepts(tokens, old)
        before = tokens.epoch
        issuer.keys = [NEXT_RSA]
        assert await accepts(tokens, sign(issuer.claims(), NEXT_RSA))
        assert tokens.epoch > before
        assert not await accepts(tokens, old)


async def test_an_added_key_leaves_the_others_remembered(issuer: LocalIssuer) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        old = issuer.token()
        assert await accepts(tokens, old)
        issuer.keys.append(NEXT_RSA)
        assert await accepts(tokens, sign(issuer.claims(), NEXT_RSA))
        assert tokens.epoch == 0
        assert await accepts(tokens, old)


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_known_keys_outlive_their_provider(issuer: LocalIssuer, status: int) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        assert await accepts(tokens, issuer.token())
        issuer.status = status
        assert not await accepts(tokens, sign(issuer.claims(), NEXT_RSA))
        assert await accepts(tokens, issuer.token(jti="2"))
        issuer.status = 200
        issuer.keys.append(NEXT_RSA)
        assert await accepts(tokens, sign(issuer.claims(), NEXT_RSA))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500},
        {"status": 302, "headers": b"location: /realm/jwks\r\n"},
        {"raw": b"{}"},
        {"raw": b"[]"},
        {"raw": b'{"keys": {}}'},
        {"raw": b"\xff"},
        {"raw": b"[" * 100_000},
        {"raw": b'{"keys": []}'.ljust(300_000)},
        {"headers": b"content-encoding: gzip\r\n"},
        {"discovery": {"issuer": "https://other.test"}},
        {"discovery": {"issuer": None}},
        {"discovery": {"jwks_uri": None}},
        {"discovery": {"jwks_uri": 7}},
        {"discovery": {"jwks_uri": "http://jwks.test/keys"}},
        {"discovery": {"jwks_uri": "http://[broken/keys"}},
        {"discovery": {"jwks_uri": "file:///etc/passwd"}},
    ],
)
async def test_a_provider_that_was_never_sound_is_away(issuer: LocalIssuer, changes: Any) -> None:
    for name, value in changes.items():
        setattr(issuer, name, value)
    async with verifying(issuer) as tokens:
        for _ in range(5):
            with pytest.raises(AdmissionUnavailable):
                await tokens.verify(issuer.token())
    assert sum(issuer.counts.values()) <= 2


async def test_a_provider_that_is_not_there_is_away(issuer: LocalIssuer) -> None:
    async with httpx.AsyncClient(verify=TLS) as http:
        rules = msgspec.structs.replace(RULES, issuer="http://127.0.0.1:1")
        tokens = Tokens([rules], http)
        with pytest.raises(AdmissionUnavailable):
            await tokens.verify(issuer.token(iss=rules.issuer))


async def test_plain_http_is_used_on_the_loopback_address_only() -> None:
    def unreachable(_: httpx.Request) -> httpx.Response:
        raise AssertionError("asked over plain http")

    async with httpx.AsyncClient(transport=httpx.MockTransport(unreachable)) as http:
        rules = msgspec.structs.replace(RULES, issuer="http://idp.test")
        tokens = Tokens([rules], http)
        with pytest.raises(AdmissionUnavailable):
            await tokens.verify(sign({"iss": rules.issuer}))


USABLE = RSA.as_dict(private=False)


@pytest.mark.parametrize(
    "member",
    [
        USABLE | {"use": "enc"},
        USABLE | {"use": ["sig"]},
        USABLE | {"key_ops": ["encrypt"]},
        USABLE | {"alg": "RSA-OAEP"},
        USABLE | {"alg": 7},
        USABLE | {"kid": 7},
        USABLE | {"kty": "oct"},
        USABLE | {"kty": ["RSA"]},
        USABLE | {"n": "AQAB"},
        USABLE | {"n": "!"},
        USABLE | {"n": None},
        {"kty": "RSA", "kid": "rsa"},
        RSA.as_dict(private=True),
        {"kty": "RSA", "kid": "rsa", "e": "AQAB", "n": encode(b"\xc1" * 128)},
        "rsa",
        None,
    ],
)
def test_keys_that_may_not_sign_are_passed_over(member: Any) -> None:
    fitting = [key for key in signing_keys({"keys": [member]}) if key.fits("RS256")]
    assert fitting == [] or fitting[0].kid != "rsa"


def test_a_usable_key_beside_them_is_found() -> None:
    elliptic = EC.as_dict(private=False)
    del elliptic["alg"]
    keys = signing_keys({"keys": [None, {"kty": "new"}, USABLE, elliptic]})
    assert [key.kid for key in keys] == ["rsa", "ec"]
    rsa, ec = keys
    assert [a for a in ("RS256", "PS512", "ES256", "ES384", "EdDSA", "HS256") if rsa.fits(a)] == [
        "RS256", "PS512"
    ]  # fmt: skip
    assert [a for a in ("RS256", "ES256", "ES384", "EdDSA") if ec.fits(a)] == ["ES256"]


async def test_without_kid_the_only_key_that_fits_is_used(issuer: LocalIssuer) -> None:
    issuer.keys = [RSA, EC]
    async with verifying(issuer) as tokens:
        assert await accepts(tokens, sign(issuer.claims(), kid=None))
    issuer.keys = [RSA, NEXT_RSA]
    async with verifying(issuer) as tokens:
        assert not await accepts(tokens, sign(issuer.claims(), kid=None))


@pytest.mark.parametrize(
    ("name", "offset", "expected"),
    [
        ("exp", -LEEWAY_S + 1, True),
        ("exp", -LEEWAY_S, False),
        ("nbf", LEEWAY_S, True),
        ("nbf", LEEWAY_S + 1, False),
        ("iat", LEEWAY_S, True),
        ("iat", LEEWAY_S + 1, False),
    ],
)
def test_clocks_may_differ_by_the_leeway(name: str, offset: int, *, expected: bool) -> None:
    claims = {"iss": RULES.issuer, "aud": RULES.audience, "sub": "s", "exp": 2000, "client_id": "a"}
    try:
        check_claims(claims | {name: 1000 + offset}, RULES, 1000.0)
    except Unauthenticated:
        assert not expected
    else:
        assert expected


async def test_a_remembered_token_ends_with_its_time(issuer: LocalIssuer) -> None:
    now = time.time()
    async with httpx.AsyncClient(verify=TLS) as http:
        tokens = Tokens([issuer.rules()], http, clock=lambda: now)
        token = issuer.token(exp=int(now) + 10)
        assert await accepts(tokens, token)
        verified = await tokens.verify(token)
        assert verified.good_until == verified.grant.expires_at == int(now) + 10 + LEEWAY_S
        now += 10 + LEEWAY_S - 1
        assert await accepts(tokens, token)
        now += 2
        assert not await accepts(tokens, token)


async def test_a_token_is_remembered_for_a_minute_at_most(issuer: LocalIssuer) -> None:
    now = time.time()
    async with httpx.AsyncClient(verify=TLS) as http:
        tokens = Tokens([issuer.rules()], http, clock=lambda: now)
        verified = await tokens.verify(issuer.token(exp=int(now) + 6000))
    assert verified.good_until == now + 60


async def test_keys_are_refreshed_beside_the_calls(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "REFRESH_S", 0.0)
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        assert await accepts(tokens, issuer.token())
        issuer.keys, issuer.hangs = [NEXT_RSA], True
        assert await accepts(tokens, issuer.token(jti="2"))
        assert await accepts(tokens, issuer.token(jti="3"))
        assert issuer.counts.total() <= 3
    issuer.hangs = False
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        issuer.keys = [RSA]
        old = issuer.token()
        assert await accepts(tokens, old)
        issuer.keys = [NEXT_RSA]
        while await accepts(tokens, old):
            await asyncio.sleep(0.01)
            await accepts(tokens, issuer.token(jti="4"))
        assert tokens.epoch == 1


async def test_a_long_outage_ends_trust_in_the_keys(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with verifying(issuer, cooldown_s=0.0) as tokens:
        assert await accepts(tokens, issuer.token())
        issuer.status = 500
        monkeypatch.setattr(oidc, "KEEP_S", 0.0)
        with pytest.raises(AdmissionUnavailable):
            await tokens.verify(issuer.token(jti="2"))
        issuer.status = 200
        monkeypatch.setattr(oidc, "KEEP_S", 60.0)
        assert await accepts(tokens, issuer.token(jti="2"))
