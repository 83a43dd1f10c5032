"""Whether a server may keep jobs: it loses no write that it acknowledged, and evicts nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Literal

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError, ResponseError

from control_plane.environment import InvalidSettings
from control_plane.records.server import TIMEOUT_S
from control_plane.setting_groups import JobSettings

log = logging.getLogger(__name__)

Wanted = Literal["always", "relaxed"]
_NAMES: Final = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
_UNSEEN: Final = "cannot be seen, because the server forbids CONFIG GET"


async def check(server: redis.Redis, durability: Wanted) -> str | None:
    """Why a server may not keep jobs; None if it may.

    It has to append every write to a file, to sync it before it answers (unless ``relaxed``), and
    to refuse writes where its memory is full rather than evict keys.

    Args:
        server: The system of record.
        durability: What is asked of it (``TIDEGATE_JOBS_DURABILITY``).

    Raises:
        RedisError: If it cannot be asked.
        OSError: Likewise.
    """
    return _judge(await _facts(server), durability)


def _judge(facts: dict[str, str], durability: Wanted) -> str | None:
    if facts["appendonly"] != "yes":
        return "it keeps no append-only file (set `appendonly yes`)"
    fsync = facts["appendfsync"]
    if durability == "always" and fsync != "always":
        return (
            f"it does not sync every write before it answers: appendfsync {fsync} "
            "(set `appendfsync always`, or TIDEGATE_JOBS_DURABILITY=relaxed to take the risk)"
        )
    if facts["maxmemory"] not in {"0", ""} and facts["maxmemory-policy"] != "noeviction":
        return (
            f"it evicts keys where its memory is full: maxmemory-policy "
            f"{facts['maxmemory-policy']} (set `maxmemory-policy noeviction`)"
        )
    return None


async def _facts(server: redis.Redis) -> dict[str, str]:
    try:
        told: dict[Any, Any] = await server.config_get(*_NAMES)
    except BrokenConnection:
        raise
    except ResponseError:
        return _of_info(await server.info("persistence"), await server.info("memory"))
    return {_text(name): _text(value) for name, value in told.items()}


def _of_info(persistence: dict[str, Any], memory: dict[str, Any]) -> dict[str, str]:
    """The same from ``INFO``, which managed servers allow; it does not say how files are synced."""
    return {
        "appendonly": "yes" if persistence.get("aof_enabled") == 1 else "no",
        "appendfsync": _UNSEEN,
        "maxmemory": str(memory.get("maxmemory", "")),
        "maxmemory-policy": str(memory.get("maxmemory_policy", "noeviction")),
    }


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def ensure_durable(server: redis.Redis, settings: JobSettings) -> None:
    """Refuse the start on a server that may not keep jobs.

    One that is away is not judged: the first submission does that.

    Args:
        server: The system of record.
        settings: What is asked of it.

    Raises:
        InvalidSettings: With the reason.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reason = await check(server, settings.durability)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("the server of jobs is away and was not checked",
                    extra={"error": type(error).__name__})  # fmt: skip
        return
    if reason is not None:
        raise InvalidSettings(
            [f"TIDEGATE_REDIS_URL names a server that may not keep jobs: {reason}"]
        )


def ensure_durable_at(url: str, settings: JobSettings) -> None:
    """The same for a process that has no event loop yet, so that its end is one line.

    Args:
        url: The system of record.
        settings: What is asked of it.

    Raises:
        InvalidSettings: With the reason.
    """

    async def ask() -> None:
        once = Retry(NoBackoff(), 0)
        async with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, retry=once) as server:
            await ensure_durable(server, settings)

    asyncio.run(ask())


class Durability:
    """Remembers that a server was fit, until it was away: it may come back as another."""

    def __init__(self, server: redis.Redis, wanted: Wanted) -> None:
        """Ask nothing yet.

        Args:
            server: The system of record.
            wanted: What is asked of it.
        """
        self._server = server
        self._wanted = wanted
        self._fit = False

    async def reason(self) -> str | None:
        """Why the server may not keep jobs; None if it may.

        Raises:
            RedisError: If it cannot be asked.
            OSError: Likewise.
        """
        if self._fit:
            return None
        reason = await check(self._server, self._wanted)
        self._fit = reason is None
        if reason is not None:
            log.error("the server may not keep jobs: %s", reason)
        return reason

    def doubt(self) -> None:
        """Ask again before the next job is taken in."""
        self._fit = False
