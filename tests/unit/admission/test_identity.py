"""Who calls: what each credential resolves to, and what is said about those that do not."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admission.accounts.shapes import (
    OPERATORS,
    STANDARD_TIERS,
    ApiKey,
    Overrides,
    Tenant,
    Tier,
)
from control_plane.admission.identity import apikeys
from control_plane.admission.identity.address import Addresses
from control_plane.admission.identity.identity import Hooks, Identity
from control_plane.admission.identity.resolver import INVALID_KEY
from control_plane.admission.identity.tokens import Tokens
from control_plane.admission.principal import Principal
from control_plane.errors import (
    AdmissionUnavailable,
    Forbidden,
    InvalidParameter,
    TidegateError,
    Unauthenticated,
)
from tests.unit.admission.issuer import LocalIssuer, local_issuer, sign

PEPPER = "p" * 32
PEER = ("192.0.2.7", 4711)
KEY, KEY_ID = apikeys.mint()
BOOTSTRAP, _ = apikeys.mint()
TLS = ssl.create_default_context()


class Shelf:
    """Records in memory, as a directory gives them out."""

    def __init__(self) -> None:
        self.epoch = 0
        self.is_proven = True
        self.keys: dict[str, ApiKey] = {}
        self.tenants = {"acme": Tenant(id="acme", tier="free")}
        self.tiers: dict[str, Tier] = {tier.name: tier for tier in STANDARD_TIERS}
        self.reads = 0
        self.forgotten: list[str] = []

    async def key(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        return self.keys.get(key_id)

    async def tenant(self, tenant: str) -> Tenant | None:
        return self.tenants.get(tenant)

    async def tier(self, name: str) -> Tier | None:
        return self.tiers.get(name)

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    def put_key(self, text: str = KEY, key_id: str = KEY_ID, **changes: Any) -> None:
        fields = {"id": key_id, "tenant": "acme", "digests": (apikeys.digest(text, PEPPER),)}
        self.keys[key_id] = ApiKey(**fields | changes)


class Scene:
    """An identity and what stands around it."""

    def __init__(self, tokens: Tokens, issuer: LocalIssuer, shelf: Shelf | None = None) -> None:
        self.shelf: Any = shelf or Shelf()
        self.shelf.put_key()
        self.issuer = issuer
        self.bad: list[str] = []
        self.names: list[str] = []
        self.slowed_s = 0.0
        self.now = time.time()
        self.identity = Identity(
            self.shelf,
            tokens,
            Addresses(["10.0.0.0/8"]),
            Hooks(self.provision, self.refused, lambda _: self.slowed_s),
            key_pepper=PEPPER,
            bootstrap_admin_key=BOOTSTRAP,
            clock=lambda: self.now,
        )

    async def provision(self, tenant: str, tier: str) -> None:
        self.shelf.tenants[tenant] = Tenant(id=tenant, tier=tier)

    def refused(self, network: str, name: str) -> None:
        self.bad.append(network)
        self.names.append(name)

    async def bearer(self, text: str, **more: Any) -> Principal:
        return await self.resolve({b"authorization": f"Bearer {text}".encode("latin-1")}, **more)

    async def resolve(self, headers: dict[bytes, bytes], peer: Any = PEER) -> Principal:
        return await self.identity.resolve(headers, peer)

    def known(self, headers: dict[bytes, bytes], peer: Any = PEER) -> Principal | None:
        return self.identity.known(headers, peer)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with local_issuer() as issuer, httpx.AsyncClient(verify=TLS) as http:
        tokens = Tokens([issuer.rules(default_tier="free")], http, cooldown_s=0.0)
        yield Scene(tokens, issuer)
        await tokens.close()


AS_BEARER = {b"authorization": b"Bearer " + KEY.encode()}
AS_KEY = {b"x-api-key": KEY.encode()}


@pytest.mark.parametrize(
    "headers",
    [
        AS_BEARER,
        AS_KEY,
        {b"authorization": b"bearer  " + KEY.encode() + b" "},
        {b"authorization": b"BEARER " + KEY.encode()},
    ],
)
async def test_a_key_is_its_tenant(scene: Scene, headers: dict[bytes, bytes]) -> None:
    principal = await scene.resolve(headers)
    assert principal == Principal(
        kind="key",
        subject="t:acme",
        tenant="acme",
        client=f"k:{KEY_ID}",
        tier="free",
        limits=scene.shelf.tiers["free"].limits,
        scopes=("predict",),
    )
    assert scene.known(headers) is principal
    assert scene.bad == []


async def test_a_tenants_overrides_count(scene: Scene) -> None:
    overrides = Overrides(requests=7, month_units=None)
    scene.shelf.tenants["acme"] = Tenant(id="acme", tier="free", overrides=overrides)
    limits = (await scene.resolve(AS_KEY)).limits
    assert (limits.requests, limits.month_units, limits.burst) == (7, None, 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"digests": ("0" * 64,)},
        {"digests": ()},
        {"digests": ("0" * 64, apikeys.digest(KEY, PEPPER)), "digest_until": 5},
        {"digests": (apikeys.digest(KEY, "q" * 32),)},
        {"revoked_at": 1},
        {"expires_at": 5},
        {"tenant": "unheard-of"},
        None,
    ],
)
async def test_every_fault_of_a_key_gets_the_same_answer(scene: Scene, changes: Any) -> None:
    scene.shelf.keys.clear()
    if changes is not None:
        scene.shelf.put_key(**changes)
    with pytest.raises(Unauthenticated) as caught:
        await scene.resolve(AS_KEY)
    assert caught.value.message == INVALID_KEY
    assert caught.value.details == {}
    assert caught.value.headers == {
        "www-authenticate": 'Bearer realm="tidegate", error="invalid_token"'
    }
    assert scene.bad == ["192.0.2.7"]
    assert scene.known(AS_KEY) is None


async def test_a_mistyped_key_costs_no_look_up(scene: Scene) -> None:
    last = "0" if KEY[-1] != "0" else "1"
    with pytest.raises(Unauthenticated, match=INVALID_KEY):
        await scene.bearer(KEY[:-1] + last)
    assert scene.shelf.reads == 0


@given(st.integers(0, len(KEY) - 1), st.characters(max_codepoint=255))
async def test_no_changed_key_is_taken(place: int, character: str) -> None:
    changed = KEY[:place] + character + KEY[place + 1 :]
    async with httpx.AsyncClient(verify=TLS) as http:
        scene = Scene(Tokens([], http), LocalIssuer())
        if changed == KEY:
            return
        for headers in (
            {b"x-api-key": changed.encode("latin-1")},
            {b"authorization": b"Bearer " + changed.encode("latin-1")},
        ):
            if changed.strip() == KEY:
                continue
            with pytest.raises(Unauthenticated):
                await scene.resolve(headers)


async def test_a_key_from_a_network_that_is_not_allowed(scene: Scene) -> None:
    scene.shelf.put_key(networks=("198.51.100.0/24",))
    inside, behind_proxy = ("198.51.100.9", 1), AS_KEY | {b"x-forwarded-for": b"198.51.100.3"}
    await scene.resolve(AS_KEY, inside)
    assert scene.known(AS_KEY, inside) is not None
    assert scene.known(AS_KEY) is None
    with pytest.raises(Forbidden) as caught:
        await scene.resolve(AS_KEY)
    assert caught.value.details == {"reason": "network"}
    with pytest.raises(Forbidden):
        await scene.resolve(behind_proxy)
    await scene.resolve(behind_proxy, ("10.0.0.1", 1))
    assert scene.bad == []


async def test_a_suspended_tenant_is_refused(scene: Scene) -> None:
    scene.shelf.tenants["acme"] = Tenant(id="acme", tier="free", suspended=True)
    with pytest.raises(Forbidden) as caught:
        await scene.resolve(AS_KEY)
    assert caught.value.details == {"reason": "suspended"}
    with pytest.raises(Forbidden):
        await scene.bearer(scene.issuer.token())
    assert scene.bad == []


async def test_a_tenant_whose_tier_is_gone_cannot_be_decided(scene: Scene) -> None:
    del scene.shelf.tiers["free"]
    with pytest.raises(AdmissionUnavailable):
        await scene.resolve(AS_KEY)


async def test_the_bootstrap_key_administers_without_a_record(scene: Scene) -> None:
    principal = await scene.bearer(BOOTSTRAP)
    assert (principal.tenant, principal.scopes) == (OPERATORS, ("admin",))
    assert principal.may("admin", "tenants:write")
    assert not principal.may("predict", "sentiment")
    assert scene.shelf.reads == 0


async def test_operators_keys_call_no_model_and_others_do_not_administer(scene: Scene) -> None:
    scopes = ("predict", "jobs:wine", "admin:tenants")
    scene.shelf.put_key(tenant=OPERATORS, scopes=scopes)
    assert (await scene.resolve(AS_KEY)).scopes == ("admin:tenants",)
    scene.shelf.put_key(scopes=scopes)
    scene.shelf.epoch += 1
    assert (await scene.resolve(AS_KEY)).scopes == ("predict", "jobs:wine")


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"expires_at": 3_000_000_000}, 3_000_000_000),
        ({"digests": ("0" * 64, apikeys.digest(KEY, PEPPER)), "digest_until": 2_900_000_000},
         2_900_000_000),
    ],
)  # fmt: skip
async def test_a_key_ends_on_time_though_it_is_remembered(
    scene: Scene, changes: Any, ends: int
) -> None:
    scene.shelf.put_key(**changes)
    assert (await scene.resolve(AS_KEY)).expires_at == ends
    scene.now = ends - 0.5
    assert scene.known(AS_KEY) is not None
    scene.now = ends
    assert scene.known(AS_KEY) is None
    with pytest.raises(Unauthenticated):
        await scene.resolve(AS_KEY)


async def test_two_credentials_are_one_too_many(scene: Scene) -> None:
    both = AS_KEY | AS_BEARER
    assert scene.known(both) is None
    with pytest.raises(InvalidParameter) as caught:
        await scene.resolve(both)
    assert caught.value.status == 400
    assert KEY not in str(caught.value.details)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        KEY.encode(),
        b"Basic " + base64.b64encode(b"user:" + KEY.encode()),
        b"Bearer " + b"a" * 9000,
        b"Bearer \xff\xfe",
        b"Digest x",
        b"Bearer\t" + KEY.encode(),
        b"Bearer rubbish",
        b"Bearer " + KEY.encode() + b" x",
    ],
)
async def test_what_is_no_bearer_credential_is_refused(scene: Scene, value: bytes) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await scene.resolve({b"authorization": value})
    assert KEY not in caught.value.message
    assert scene.bad == ["192.0.2.7"]


@pytest.mark.parametrize("value", [b"", b"Bearer " + KEY.encode(), b"x" * 60_000, b"\xff"])
async def test_what_is_no_key_is_refused(scene: Scene, value: bytes) -> None:
    await scene.resolve(AS_BEARER)
    assert scene.known({b"x-api-key": value}) is None
    with pytest.raises(Unauthenticated, match=INVALID_KEY):
        await scene.resolve({b"x-api-key": value})


async def test_a_token_is_no_api_key(scene: Scene) -> None:
    with pytest.raises(Unauthenticated, match=INVALID_KEY):
        await scene.resolve({b"x-api-key": scene.issuer.token().encode()})


async def test_nobody_is_counted_by_address(scene: Scene) -> None:
    principal = await scene.resolve({})
    assert principal.kind == "anonymous"
    assert principal.subject == principal.client == "a:192.0.2.7"
    assert (principal.tenant, principal.tier) == ("", "anonymous")
    assert principal.scopes == ("predict",)
    assert scene.known({}) is principal
    assert scene.known({}, ("192.0.2.8", 1)) is None
    neighbours = [("2001:db8::1", 1), ("2001:db8::2", 1)]
    subjects = {(await scene.resolve({}, peer)).subject for peer in neighbours}
    assert subjects == {"a:2001:db8::/64"}


async def test_without_an_anonymous_tier_a_credential_is_needed(scene: Scene) -> None:
    del scene.shelf.tiers["anonymous"]
    with pytest.raises(Unauthenticated) as caught:
        await scene.resolve({})
    assert caught.value.headers == {"www-authenticate": 'Bearer realm="tidegate"'}
    assert scene.bad == []


async def test_a_refused_credential_has_the_same_name_in_every_process(scene: Scene) -> None:
    twin = Scene(Tokens([], httpx.AsyncClient()), scene.issuer)
    for one in (scene, twin):
        for text in ("tg_live_wrong", "tg_live_wrong", "tg_live_other"):
            with pytest.raises(Unauthenticated):
                await one.bearer(text)
    assert scene.names == twin.names
    assert len(set(scene.names)) == 2
    assert all("wrong" not in name and len(name) == 16 for name in scene.names)


async def test_bad_credentials_are_slowed_and_good_ones_are_not(scene: Scene) -> None:
    scene.slowed_s = 3.2
    with pytest.raises(TidegateError) as caught:
        await scene.bearer("tg_live_wrong")
    assert caught.value.code == "TEMPORARILY_BLOCKED"
    assert caught.value.status == 429
    assert caught.value.headers == {"retry-after": "4"}
    assert scene.bad == ["192.0.2.7"]
    assert (await scene.resolve(AS_KEY)).tenant == "acme"
    assert (await scene.resolve({})).kind == "anonymous"


async def test_what_is_remembered_ends_with_a_change(scene: Scene) -> None:
    for headers in (AS_KEY, {}):
        await scene.resolve(headers)
        assert scene.known(headers) is not None
    scene.shelf.epoch += 1
    assert scene.known(AS_KEY) is None
    assert scene.known({}) is None


async def test_what_is_remembered_counts_only_while_changes_are_heard(scene: Scene) -> None:
    await scene.resolve(AS_KEY)
    await scene.resolve({})
    scene.shelf.is_proven = False
    assert scene.known(AS_KEY) is None
    assert scene.known({}) is None


async def test_a_change_during_the_look_up_is_not_lost() -> None:
    class Racing(Shelf):
        async def tier(self, name: str) -> Tier | None:
            self.epoch += 1
            return await super().tier(name)

    async with httpx.AsyncClient(verify=TLS) as http:
        scene = Scene(Tokens([], http), LocalIssuer(), Racing())
        await scene.resolve(AS_KEY)
    assert scene.known(AS_KEY) is None


async def test_memory_holds_no_credential(scene: Scene) -> None:
    await scene.resolve(AS_KEY)
    token = scene.issuer.token()
    await scene.bearer(token)
    kept = repr(vars(scene.identity._credentials))
    assert KEY[21:] not in kept
    assert token[20:40] not in kept


async def test_a_token_is_its_tenant(scene: Scene) -> None:
    token = scene.issuer.token(scope="predict jobs:wine admin", exp=int(scene.now) + 100)
    principal = await scene.bearer(token)
    assert (principal.kind, principal.subject, principal.tier) == ("token", "t:acme", "free")
    assert principal.client.startswith("j:")
    assert principal.scopes == ("predict", "jobs:wine")
    assert principal.expires_at == int(scene.now) + 100 + 30
    headers = {b"authorization": b"Bearer " + token.encode()}
    assert scene.known(headers) is principal
    scene.now += 61
    assert scene.known(headers) is None


async def test_an_unknown_tenant_of_a_token_is_made(scene: Scene) -> None:
    principal = await scene.bearer(scene.issuer.token(client_id="young"))
    assert (principal.tenant, principal.tier) == ("young", "free")
    assert scene.shelf.forgotten == ["tenant:young"]


async def test_an_unknown_tenant_without_a_tier_is_refused(scene: Scene) -> None:
    async with httpx.AsyncClient(verify=TLS) as http:
        strict = Scene(Tokens([scene.issuer.rules()], http), scene.issuer)
        with pytest.raises(Forbidden):
            await strict.bearer(scene.issuer.token(client_id="young"))
    assert "young" not in strict.shelf.tenants


async def test_a_known_tenant_keeps_its_tier(scene: Scene) -> None:
    scene.shelf.tenants["acme"] = Tenant(id="acme", tier="pro")
    assert (await scene.bearer(scene.issuer.token())).tier == "pro"


async def test_a_bad_token_counts_as_a_bad_credential(scene: Scene) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        await scene.bearer(scene.issuer.token(exp=1000))
    assert scene.bad == ["192.0.2.7"]


async def test_a_provider_that_is_away_is_nobodys_fault(scene: Scene) -> None:
    scene.issuer.status = 500
    with pytest.raises(AdmissionUnavailable):
        await scene.bearer(scene.issuer.token())
    assert scene.bad == []


async def test_a_withdrawn_key_ends_what_is_remembered(scene: Scene) -> None:
    headers = {b"authorization": b"Bearer " + scene.issuer.token().encode()}
    await scene.resolve(headers)
    scene.issuer.keys = []
    with pytest.raises(Unauthenticated):
        await scene.bearer(sign(scene.issuer.claims(), kid="unheard-of"))
    assert scene.known(headers) is None
    with pytest.raises(Unauthenticated):
        await scene.resolve(headers)
