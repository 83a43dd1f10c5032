"""What all processes saw, in the limits server: counters by the minute, numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis

from control_plane.admission import layout
from control_plane.admission.abuse.rules import MAX_MINUTES
from control_plane.admission.abuse.seen import Counts, Seen, Spread

Client = tuple[str, str]
"""Subject and client."""

_SCRIPT: Final = Path(__file__).with_name("sightings.lua").read_text(encoding="utf-8")
_INDEX_S: Final = 600
_CREDENTIALS_S: Final = 3 * 3600
_CALLS: Final = 500
"""Commands in one round trip at most, so that other callers of the server have their turn."""


class Sightings:
    """Writes and reads the counters.

    What goes wrong with the server is raised as redis-py does: ``redis.exceptions.RedisError``.
    """

    def __init__(self, server: redis.Redis) -> None:
        """Keep them on a server.

        Args:
            server: The limits server; its replies are bytes.
        """
        self._server = server
        self._add = server.register_script(_SCRIPT)

    async def write(self, seen: Sequence[Seen], spreads: Sequence[Spread], minute: int) -> None:
        """Add what a process saw.

        Args:
            seen: What clients did.
            spreads: The keys that came from addresses.
            minute: Minutes since 1970.
        """
        for start in range(0, len(seen), _CALLS):
            await self._write_seen(seen[start : start + _CALLS], minute)
        for start in range(0, len(spreads), _CALLS):
            await self._write_spreads(spreads[start : start + _CALLS], minute)

    async def clients(self, minute: int, most: int) -> tuple[set[Client], int]:
        """Clients seen in a minute, and how many of them are left out.

        Args:
            minute: Minutes since 1970.
            most: Clients at most.
        """
        key = layout.watched(minute)
        found: set[Client] = set()
        async for member in self._server.sscan_iter(key, count=_CALLS):
            subject, _, client = member.decode().partition("|")
            found.add((subject, client))
            if len(found) >= most:
                break
        count: int = await self._server.scard(key)
        return found, max(0, count - len(found))

    async def counts(
        self, clients: Sequence[Client], minute: int, minutes: int = MAX_MINUTES
    ) -> list[dict[int, Counts]]:
        """What clients did, by minute.

        Args:
            clients: Whose.
            minute: The last minute, since 1970.
            minutes: How many, the last one included; more come where an hour holds them.
        """
        hours = range((minute - minutes + 1) // 60, minute // 60 + 1)
        found: list[dict[int, Counts]] = []
        step = max(1, _CALLS // len(hours))
        for start in range(0, len(clients), step):
            part = clients[start : start + step]
            pipe = self._server.pipeline(transaction=False)
            for subject, client in part:
                for hour in hours:
                    pipe.hgetall(layout.watch(subject, client, hour))
            replies = iter(await pipe.execute())
            found += [
                {
                    hour * 60 + int(field): Counts(*map(int, packed.split(b",")))
                    for hour in hours
                    for field, packed in next(replies).items()
                }
                for _ in part
            ]
        return found

    async def busiest_hour(self, client: Client, hour: int) -> float:
        """Requests a minute in the busiest whole hour before ``hour`` (hours since 1970)."""
        totals = await self._server.hgetall(layout.hours(*client))
        return max((int(n) / 60 for when, n in totals.items() if int(when) < hour), default=0.0)

    async def credentials(self, network: str, hours: Iterable[int]) -> tuple[int, int]:
        """Different keys taken from and refused to an address in some hours since 1970."""
        hours = list(hours)
        if not hours:
            return 0, 0
        pipe = self._server.pipeline(transaction=False)
        for kind in ("valid", "refused"):
            pipe.pfcount(*(layout.credentials(network, kind, hour) for hour in hours))
        valid, refused = await pipe.execute()
        return int(valid), int(refused)

    async def _write_seen(self, seen: Sequence[Seen], minute: int) -> None:
        pipe = self._server.pipeline(transaction=False)
        for one in seen:
            keys = [layout.watch(one.subject, one.client, minute // 60)]
            if not one.subject.startswith("a:"):
                keys.append(layout.hours(one.subject, one.client))
            packed = ",".join(map(str, _numbers(one.counts)))
            args = (minute % 60, packed, minute // 60, one.counts.requests)
            await self._add(keys, args, client=pipe)
        _index(pipe, minute, [f"{one.subject}|{one.client}" for one in seen])
        await pipe.execute()

    async def _write_spreads(self, spreads: Sequence[Spread], minute: int) -> None:
        pipe = self._server.pipeline(transaction=False)
        for one in spreads:
            for kind, names in (("valid", one.valid), ("refused", one.refused)):
                if names:
                    key = layout.credentials(one.network, kind, minute // 60)
                    pipe.pfadd(key, *names)
                    pipe.expire(key, _CREDENTIALS_S)
        several = [f"a:{one.network}" for one in spreads if len(one.valid) > 1]
        if several:
            _index(pipe, minute, [f"{subject}|{subject}" for subject in several])
        await pipe.execute()


def _index(pipe: Any, minute: int, members: Sequence[str]) -> None:
    key = layout.watched(minute)
    pipe.sadd(key, *members)
    pipe.expire(key, _INDEX_S)


def _numbers(counts: Counts) -> list[int]:
    return [getattr(counts, name) for name in counts.__struct_fields__]
