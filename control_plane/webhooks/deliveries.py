"""Deliveries as they are kept: every change is one script that checks state and fence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import redis.asyncio as redis
from msgspec import Struct

from control_plane.records.pages import Page, cursor, last_of
from control_plane.records.server import reached, read
from control_plane.records.transaction import not_found
from control_plane.sealing import Sealer
from control_plane.webhooks import layout
from control_plane.webhooks.schedule import Verdict
from control_plane.webhooks.shapes import (
    DELIVERY_ID,
    Attempt,
    Delivery,
    Event,
    Held,
    Message,
    Status,
)

MAX_SCAN: Final = 2_000
"""Deliveries that one page looks at: a filter that fits few gives short pages with a cursor."""

_FORGOTTEN: Final = 200
_BATCH: Final = 200
_Name = Literal["add", "claim", "settle", "redeliver", "forget"]
_NAMES: Final[tuple[_Name, ...]] = ("add", "claim", "settle", "redeliver", "forget")
_ENDPOINTS: Final = "we_"


def on_time() -> int:
    """The schedule is by 0 ms ahead of the server's clock."""
    return 0


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """Which deliveries; what is None lets every one through.

    Attributes:
        endpoint: Id of the endpoint.
        status: Where they stand.
    """

    endpoint: str | None = None
    status: Status | None = None


class Deliveries:
    """What is to be sent, what is under way, and what came of it.

    Every method raises :class:`AdmissionUnavailable` if the system of record does not answer
    within two seconds; a change may then have been made or not.
    """

    def __init__(
        self,
        server: redis.Redis,
        sealer: Sealer,
        kept_s: int,
        ahead_ms: Callable[[], int] = on_time,
    ) -> None:
        """Keep deliveries on a server.

        Args:
            server: The system of record. It must not repeat commands by itself.
            sealer: Encrypts bodies and addresses.
            kept_s: Seconds that a delivery is kept after its end.
            ahead_ms: By how many milliseconds the schedule is ahead of the server's clock, which
                all dispatchers go by; a rehearsal of an outage moves it on.
        """
        self._server = server
        self._sealer = sealer
        self._kept_ms = kept_s * 1000
        self._ahead_ms = ahead_ms
        self._scripts = {name: server.register_script(_source(name)) for name in _NAMES}

    async def add(self, messages: Sequence[Message]) -> int:
        """Keep deliveries; one that is kept already is left as it is.

        Returns:
            How many were not kept before.
        """
        if not messages:
            return 0
        rows = (
            (
                *(made.id, made.tenant, made.job, made.receiver, made.event),
                self._sealer.seal(made.body, _place(made.id, "body")),
                self._sealer.seal(made.url.encode(), _place(made.id, "url")) if made.url else "",
            )
            for made in messages
        )
        return int(await self._run("add", *(part for row in rows for part in row)))

    async def claim(
        self, most: int, share: int, in_hand: Mapping[str, int], lease_ms: int
    ) -> list[Held]:
        """Take deliveries that are due; those of dispatchers that are gone are due again.

        Args:
            most: How many at most.
            share: How many of one tenant may be in hand.
            in_hand: How many are, by tenant.
            lease_ms: Milliseconds after which another may take them.
        """
        pairs = [part for pair in in_hand.items() for part in pair]
        rows = await self._run("claim", lease_ms, most, share, *pairs)
        return [_held(row) for row in rows]

    def opened(self, held: Held) -> tuple[bytes, str]:
        """The body of a delivery, and the address if it is a job's own.

        Raises:
            Unsealable: If they were kept with another data key.
        """
        body = self._sealer.unseal(held.body, _place(held.id, "body"))
        url = self._sealer.unseal(held.url, _place(held.id, "url")) if held.url else b""
        return body, url.decode()

    async def settle(self, held: Held, verdict: Verdict, attempt: Attempt) -> bool:
        """Write what came of an attempt; False if the delivery is in other hands."""
        done = await self._run(
            "settle",
            *(held.id, held.fence, verdict.status, verdict.delay_ms),
            *(int(verdict.is_slow), msgspec.json.encode(attempt), self._kept_ms),
        )
        return bool(done)

    async def redeliver(self, tenant: str, name: str) -> Delivery:
        """Begin a delivery's schedule anew, at once and with the same id.

        One that is under way begins anew if this attempt fails.

        Raises:
            TidegateError: NOT_FOUND.
        """
        _check(name)
        if not await self._run("redeliver", name, tenant):
            raise not_found()
        return await self.read(tenant, name)

    async def forget(self) -> int:
        """Forget some that were kept long enough; how many they were, 200 at most."""
        return int(await self._run("forget", _FORGOTTEN))

    async def overdue_s(self) -> float:
        """Seconds that the turn has passed of whoever waits the longest; 0 if nobody waits."""
        first: Any = await read(
            self._server, lambda: self._server.zrange(layout.TURNS, 0, 0, withscores=True)
        )
        if not first:
            return 0.0
        seconds, micros = await read(self._server, self._server.time)
        now_ms = seconds * 1000 + micros / 1000 + self._ahead_ms()
        return max(0.0, (now_ms - float(first[0][1])) / 1000)

    async def read(self, tenant: str, name: str) -> Delivery:
        """A delivery with its latest attempts.

        Raises:
            TidegateError: NOT_FOUND, of another tenant's, too.
        """
        _check(name)
        fields, log = await self._fetch([name], with_log=True)
        if not fields[0] or fields[0]["tenant"] != tenant:
            raise not_found()
        return _delivery(name, fields[0], log)

    async def page(
        self, tenant: str, wanted: DeliveryFilter, after: str | None, limit: int
    ) -> Page[Delivery]:
        """A tenant's deliveries without their attempts, those of the latest jobs first.

        A page looks at 2,000 deliveries at most; it may be short, even empty, and have a cursor.

        Args:
            tenant: Whose.
            wanted: Which.
            after: Cursor of the page; None for the first.
            limit: Items at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        index = layout.deliveries_of(tenant, wanted.endpoint)
        last = None if after is None else last_of(after, DELIVERY_ID)
        found: list[Delivery] = []
        for _ in range(0, MAX_SCAN, _BATCH):
            names = await self._names(index, last)
            rows, _log = await self._fetch(names)
            for name, fields in zip(names, rows, strict=True):
                last = name
                if fields and wanted.status in {None, fields["status"]}:
                    found.append(_delivery(name, fields))
                if len(found) == limit:
                    return Page(found, cursor(last))
            if len(names) < _BATCH:
                return Page(found, None)
        return Page(found, None if last is None else cursor(last))

    async def _names(self, index: str, last: str | None) -> list[str]:
        below = "+" if last is None else f"({last}"
        names = await read(
            self._server,
            lambda: self._server.zrevrangebylex(index, below, "-", start=0, num=_BATCH),
        )
        return [str(name, "ascii") if isinstance(name, bytes) else name for name in names]

    async def _fetch(
        self, names: Sequence[str], *, with_log: bool = False
    ) -> tuple[list[dict[str, str]], list[bytes]]:
        """What is shown of deliveries, and the attempts of the last of them."""

        async def step() -> list[Any]:
            async with self._server.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hmget(layout.delivery(name), *_SHOWN)
                if with_log:
                    pipe.lrange(layout.attempts(names[-1]), 0, -1)
                return await pipe.execute()

        rows = await read(self._server, step) if names else []
        log = rows.pop() if with_log else []
        return [_fields(row) for row in rows], log

    async def _run(self, name: _Name, *arguments: Any) -> Any:
        async with reached():
            return await self._scripts[name](
                keys=[layout.PREFIX], args=[self._ahead_ms(), *arguments]
            )


_SHOWN: Final = (
    *("tenant", "job", "receiver", "event", "status"),
    *("attempts", "created", "due", "ended"),
)


def _source(name: _Name) -> str:
    """Text of a script; its first line, which says what it may do, stays the first."""
    folder = Path(__file__).parent
    flags, _, body = (folder / f"{name}.lua").read_text().partition("\n")
    return f"{flags}\n{(folder / 'lanes.lua').read_text()}\n{body}"


def _place(name: str, part: str) -> str:
    return f"{layout.delivery(name)}:{part}"


def _held(row: list[Any]) -> Held:
    name, fence, number, *texts = row
    tenant, receiver, body, url = (text.decode() for text in texts)
    return Held(
        id=name.decode(),
        fence=fence,
        number=number,
        tenant=tenant,
        receiver=receiver,
        body=body,
        url=url,
    )


def _check(name: str) -> None:
    if not DELIVERY_ID.fullmatch(name):
        raise not_found()


def _fields(row: list[bytes | None]) -> dict[str, str]:
    """The fields that are shown; empty of a delivery that is forgotten."""
    if row[0] is None:
        return {}
    return {name: value.decode() for name, value in zip(_SHOWN, row, strict=True) if value}


def _delivery(name: str, fields: dict[str, str], log: Sequence[bytes] = ()) -> Delivery:
    receiver = fields["receiver"]
    return Delivery(
        id=name,
        job=fields["job"],
        endpoint=receiver if receiver.startswith(_ENDPOINTS) else None,
        event=Event(fields["event"]),
        status=Status(fields["status"]),
        attempts=int(fields["attempts"]),
        created_ms=int(fields["created"]),
        due_ms=int(fields["due"]) if fields["status"] == Status.WAITING else 0,
        ended_ms=int(fields["ended"]),
        log=tuple(msgspec.json.decode(line, type=Attempt) for line in log),
    )
