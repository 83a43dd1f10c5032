"""Access tokens of a real OpenID provider: taken, rotated, and survived when it is away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from joserfc.jwk import ECKey, Key, RSAKey

from control_plane.admission.identity.tokens import Tokens
from control_plane.errors import AdmissionUnavailable, Unauthenticated
from control_plane.issuers import OidcIssuer
from tests.integration.admission.conftest import free_port
from tests.stack import Door

HERE = Path(__file__).parent / "oidc"
CACHE = Path(__file__).resolve().parents[3] / ".cache"
FILES = ("package.json", "package-lock.json", ".npmrc", "provider.mjs")
INSTALL_S = 100.0
AUDIENCE = "https://api.tidegate.test"
CLIENT = "acme"


@pytest.fixture(scope="session")
def package() -> Path:
    """A folder with the provider and what it needs, installed once for each lock file."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None and os.environ.get("CI") != "true":
            pytest.skip(f"{tool} is not installed: apt-get install nodejs npm")
    sources = {name: (HERE / name).read_bytes() for name in FILES}
    folder = CACHE / f"oidc-{hashlib.sha256(b''.join(sources.values())).hexdigest()[:16]}"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=CACHE, prefix="oidc-draft-"))
        for name, content in sources.items():
            (draft / name).write_bytes(content)
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=draft, check=True, timeout=INSTALL_S)
        try:
            draft.rename(folder)
        except OSError:  # another run was faster
            shutil.rmtree(draft)
    return folder


class RealProvider:
    """Starts and stops the provider on one port."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self, *keys: Key, algorithm: str = "RS256") -> Iterator[None]:
        """Runs with these keys, the first of which signs."""
        options = {
            "port": self.port,
            "jwks": {"keys": [key.as_dict(private=True) for key in keys]},
            "audience": AUDIENCE,
            "algorithm": algorithm,
            "clients": [CLIENT],
        }
        process = subprocess.Popen(
            ["node", "provider.mjs"],
            cwd=self.package,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(options).encode())
            process.stdin.close()
            assert process.stdout.readline() == b"listening\n"
            yield
        finally:
            process.kill()
            process.wait()

    async def token(self, scope: str = "predict") -> str:
        """An access token by the client credentials grant (RFC 6749, 4.4)."""
        async with httpx.AsyncClient() as http:
            answer = await http.post(
                f"{self.issuer}/token",
                data={"grant_type": "client_credentials", "scope": scope},
                auth=(CLIENT, f"{CLIENT}-secret"),
            )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def rules(self, **changes: Any) -> OidcIssuer:
        return OidcIssuer(**{"issuer": self.issuer, "audience": AUDIENCE} | changes)


@pytest.fixture
def provider(package: Path) -> RealProvider:
    return RealProvider(package)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def rsa(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


async def accepts(tokens: Tokens, token: str) -> bool:
    with contextlib.suppress(Unauthenticated):
        await tokens.verify(token)
        return True
    return False


async def test_a_token_of_the_client_credentials_grant_is_taken(
    provider: RealProvider, http: httpx.AsyncClient
) -> None:
    with provider.running(rsa("one")):
        tokens = Tokens([provider.rules()], http)
        grant = (await tokens.verify(await provider.token("predict jobs admin"))).grant
    assert grant.tenant == CLIENT
    assert grant.scopes == ("predict", "jobs")


async def test_an_elliptic_key_signs_as_well(
    provider: RealProvider, http: httpx.AsyncClient
) -> None:
    elliptic = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"})
    with provider.running(elliptic, rsa("unused"), algorithm="ES256"):
        token = await provider.token()
        assert await accepts(Tokens([provider.rules(algorithms=("ES256",))], http), token)
        assert not await accepts(Tokens([provider.rules()], http), token)


@pytest.mark.parametrize(
    "changes",
    [{"audience": "https://other.test"}, {"tenants": ("beta-*",)}, {"token_types": ("jwt",)}],
)
async def test_a_real_token_that_is_not_meant_for_us_is_refused(
    provider: RealProvider, http: httpx.AsyncClient, changes: Any
) -> None:
    with provider.running(rsa("one")):
        assert not await accepts(Tokens([provider.rules(**changes)], http), await provider.token())


async def test_keys_are_rotated(provider: RealProvider, http: httpx.AsyncClient) -> None:
    first, second, third = rsa("one"), rsa("two"), rsa("three")
    tokens = Tokens([provider.rules()], http, cooldown_s=0.0)
    with provider.running(first):
        oldest = await provider.token()
        assert await accepts(tokens, oldest)
    with provider.running(second, first):
        older = await provider.token()
        assert await accepts(tokens, older)
        assert await accepts(tokens, oldest)
    with provider.running(third):
        assert await accepts(tokens, await provider.token())
        assert not await accepts(tokens, older)
        assert not await accepts(tokens, oldest)


async def test_within_the_cooldown_a_rotated_key_is_not_looked_for(
    provider: RealProvider, http: httpx.AsyncClient
) -> None:
    tokens = Tokens([provider.rules()], http, cooldown_s=3600.0)
    with provider.running(rsa("one")):
        assert await accepts(tokens, await provider.token())
    with provider.running(rsa("two")):
        assert not await accepts(tokens, await provider.token())


async def test_an_outage_is_survived_on_cached_keys(
    provider: RealProvider, http: httpx.AsyncClient
) -> None:
    tokens = Tokens([provider.rules()], http, cooldown_s=0.0)
    key = rsa("one")
    with provider.running(key):
        seen, unseen = await provider.token(), await provider.token()
        assert await accepts(tokens, seen)
    assert await accepts(tokens, seen)
    assert await accepts(tokens, unseen)
    starting = Tokens([provider.rules()], http, cooldown_s=0.0)
    with pytest.raises(AdmissionUnavailable):
        await starting.verify(unseen)
    with provider.running(key):
        assert await accepts(starting, unseen)


async def test_a_token_opens_the_public_door_and_makes_its_tenant_known(
    provider: RealProvider, door: Door
) -> None:
    issuers = f"[{msgspec.json.encode(provider.rules(default_tier='free')).decode()}]"
    with provider.running(rsa("one")), door(oidc_issuers=issuers) as gateway:
        token = await provider.token("predict")
        answers = [
            gateway.anonymous.get("/api/v1/models", headers={"authorization": f"Bearer {sent}"})
            for sent in (token, token[:-5] + "AAAAA", token)
        ]
        tenant = gateway.operators.get(f"/tenants/{CLIENT}").json()
    assert [answer.status_code for answer in answers] == [200, 401, 200]
    assert answers[0].json()["models"]
    assert answers[0].headers["x-ratelimit-limit"] == "60"
    assert 'error="invalid_token"' in answers[1].headers["www-authenticate"]
    assert tenant["tier"] == "free"
