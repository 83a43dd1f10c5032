"""The keys of `tidegate up`: an operator's, and one of a demonstration tenant."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable
from typing import Final

import redis.asyncio as redis
from msgspec import Struct, structs

from control_plane.admission.accounts.shapes import ApiKey, Tenant
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity import apikeys
from control_plane.environment import PREFIX
from control_plane.errors import TidegateError
from control_plane.local.datadir import DataDir, replace_private
from control_plane.local.errors import StartRefused
from control_plane.records.transaction import SYSTEM
from control_plane.settings import Settings

DEMO: Final = "demo"
DEMO_TIER: Final = "internal"
DEMO_SCOPES: Final = ("predict", "jobs", "explain", "uploads")
_SECRETS: Final = {"key_pepper": "key-pepper", "data_key": "data-key"}


class Credentials(Struct, frozen=True):
    """What ``credentials.json`` holds.

    Attributes:
        demo_key: API key of the demonstration tenant.
        admin_key: API key of the operators' API.
    """

    demo_key: str
    admin_key: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def ensure_credentials(data: DataDir) -> Credentials:
    """The keys of a data directory, made at its first start (mode 0600) and kept for ever.

    An operator's key that the environment names takes the place of the one made here.
    """
    path = data.root / "credentials.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    keys = {name: known.get(name) or apikeys.mint()[0] for name in ("demo_key", "admin_key")}
    keys["admin_key"] = os.environ.get(f"{PREFIX}BOOTSTRAP_ADMIN_KEY") or keys["admin_key"]
    if keys != known:
        replace_private(path, json.dumps(keys, indent=2) + "\n")
    path.chmod(0o600)
    return Credentials(**keys)


def secret_settings(data: DataDir, credentials: Credentials) -> dict[str, str]:
    """The secret settings: of the data directory, unless the environment has them."""
    values = {"bootstrap_admin_key": credentials.admin_key}
    for setting, file in _SECRETS.items():
        if not os.environ.get(PREFIX + setting.upper()):
            values[setting] = data.secret(file)
    return values


async def ensure_demo(settings: Settings, demo_key: str) -> None:
    """Make the demonstration tenant and its key, unless they are there.

    Raises:
        TidegateError: If the system of record does not answer.
    """
    async with redis.Redis.from_url(settings.redis_url) as records:
        store = Store(records)
        await store.ensure_standard_tiers()
        await _unless_there(store.create_tenant(Tenant(id=DEMO, tier=DEMO_TIER), SYSTEM))
        key = _demo_key(demo_key, settings.key_pepper)
        await _unless_there(store.create_key(key, SYSTEM))

        def reopen(record: ApiKey) -> ApiKey:
            return structs.replace(record, digests=key.digests)

        await store.change_key(key.id, reopen, "key.rotate", SYSTEM)


def _demo_key(text: str, pepper: str) -> ApiKey:
    parsed = apikeys.parse(text)
    if parsed is None:
        raise StartRefused("credentials.json holds a demo_key that is none: delete the file")
    digests = (apikeys.digest(text, pepper),)
    return ApiKey(id=parsed.id, tenant=DEMO, name="demo", digests=digests, scopes=DEMO_SCOPES)


async def _unless_there(making: Awaitable[object]) -> None:
    try:
        await making
    except TidegateError as error:
        if error.code != "ALREADY_EXISTS":
            raise
