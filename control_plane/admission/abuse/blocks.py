"""Blocks on the limits server: put and lifted in one step each, listed, always audited."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import redis.asyncio as redis

from control_plane.admission import layout
from control_plane.admission.abuse.steps import Block, kept_until
from control_plane.records import places
from control_plane.records.pages import Page, cursor, last_of
from control_plane.records.server import reached
from control_plane.records.transaction import Actor, Entry, not_found

Record = Callable[[Entry, Actor], Awaitable[None]]
"""Writes an entry to the audit log."""

TARGET: Final = re.compile(r"[ta]:[A-Za-z0-9_.:/-]{1,64}\|[A-Za-z0-9_.:/-]{0,128}")

_SCRIPT: Final = Path(__file__).with_name("blocks.lua").read_text(encoding="utf-8")
_ANY: Final = "*"
_PART: Final = 500
_decode: Final = msgspec.json.Decoder(Block).decode


class Blocks:
    """Who is blocked.

    A step is written to the audit log before it is made: an entry may stand for a step that then
    failed, but no step is without one. Every method raises :class:`AdmissionUnavailable` if a
    server does not answer within two seconds.
    """

    def __init__(
        self,
        server: redis.Redis,
        record: Record,
        forgive_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep blocks on a server.

        Args:
            server: The limits server; its replies are bytes.
            record: Writes audit entries; see :func:`recorder`.
            forgive_s: How long one block of the past counts, seconds.
            clock: Epoch seconds.
        """
        self._server = server
        self._record = record
        self._forgive_s = forgive_s
        self._clock = clock
        self._write = server.register_script(_SCRIPT)

    async def latest(self, subject: str, client: str) -> Block | None:
        """The latest block of a client, ended or not; None if there is none that counts."""
        return (await self.latest_of([(subject, client)]))[0]

    async def latest_of(self, clients: list[tuple[str, str]]) -> list[Block | None]:
        """The latest blocks of some clients."""
        pipe = self._server.pipeline(transaction=False)
        for subject, client in clients:
            pipe.hget(layout.blocks(subject), _field(client))
        async with reached():
            texts = await pipe.execute()
        return [None if text is None else _decode(text.partition(b" ")[2]) for text in texts]

    async def get(self, subject: str, client: str) -> Block:
        """The block that stands, or ``NOT_FOUND``."""
        block = await self.latest(subject, client)
        if block is None or not block.stands(self._clock()):
            raise not_found()
        return block

    async def put(self, block: Block, by: Actor) -> None:
        """Block in place of whatever block there is."""
        before = await self.latest(block.subject, block.client)
        await self._audit(f"block.{block.level}", block.target, self._standing(before), block, by)
        await self._store(block, _ANY)

    async def put_after(self, block: Block, previous: Block | None) -> bool:
        """Block as a rule does: only if the latest block is still the one it was decided on.

        Returns:
            False if another came first; the audit log then has an entry for nothing.
        """
        await self._audit(
            f"block.{block.level}", block.target, self._standing(previous), block, Actor(block.by)
        )
        return await self._store(block, "" if previous is None else previous.mark)

    async def lift(self, subject: str, client: str, by: Actor) -> None:
        """End a block, or raise ``NOT_FOUND``.

        It counts no more, and what led to it is not held against the client again.
        """
        block = await self.get(subject, client)
        now = int(self._clock())
        await self._audit("block.lift", block.target, block, None, by)
        ended = msgspec.structs.replace(block, since=now, until=now, offences=0)
        await self._store(ended, _ANY)

    async def page(self, after: str | None, limit: int, subject: str | None = None) -> Page[Block]:
        """Blocks that stand, in the order of subject and client.

        A page may be short, even empty, and have a cursor.

        Args:
            after: Cursor of the page; None for the first.
            limit: Blocks at most.
            subject: Only of this subject.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        low = "-" if subject is None else f"[{subject}|"
        high = "+" if subject is None else f"({subject}}}"
        last = "" if after is None else last_of(after, TARGET)
        if last and (subject is None or last > f"{subject}|"):
            low = f"({last}"
        async with reached():
            found = await self._server.zrangebylex(layout.BLOCKS, low, high, start=0, num=limit + 1)
        targets = _texts(found)
        blocks = await self._of_targets(targets[:limit])
        now = self._clock()
        standing = [block for block in blocks if block is not None and block.stands(now)]
        return Page(standing, cursor(targets[limit - 1]) if len(targets) > limit else None)

    async def tend(self) -> int:
        """Take ended blocks out of the index, and put back what a lost counter took with it.

        Returns:
            Blocks that stand.
        """
        standing = 0
        async for targets in self._targets():
            blocks = await self._of_targets(targets)
            for target, block in zip(targets, blocks, strict=True):
                standing += await self._tend(target, block)
        return standing

    async def _tend(self, target: str, block: Block | None) -> bool:
        if block is not None and block.stands(self._clock()):
            state = layout.state(block.subject)
            async with reached():
                known = await self._server.hexists(state, _word(block.client))
            if not known:
                await self._store(block, block.mark)
            return True
        subject, _, client = target.partition("|")
        details, mark = ("", "") if block is None else (_text(block), block.mark)
        async with reached():
            await self._server.zrem(layout.BLOCKS, target)
            if not await self._write(_keys(subject), _args(client, "", details, mark, 0)):
                await self._server.zadd(layout.BLOCKS, {target: 0})
        return False

    async def _targets(self) -> AsyncIterator[list[str]]:
        """The index, part by part."""
        low, found = "-", [""]
        while found:
            async with reached():
                found = _texts(
                    await self._server.zrangebylex(layout.BLOCKS, low, "+", start=0, num=_PART)
                )
            if found:
                low = f"({found[-1]}"
                yield found

    async def _of_targets(self, targets: list[str]) -> list[Block | None]:
        if not targets:
            return []
        parts = [target.partition("|") for target in targets]
        return await self.latest_of([(subject, client) for subject, _, client in parts])

    async def _store(self, block: Block, expected: str) -> bool:
        standing = block.stands(self._clock())
        kept_ms = 1000 * max(kept_until(block, self._forgive_s), block.until + 3600)
        word = block.packed if standing else ""
        args = _args(block.client, word, _text(block), expected, kept_ms)
        async with reached():
            if standing:
                await self._server.zadd(layout.BLOCKS, {block.target: 0})
            made = await self._write(_keys(block.subject), args)
            if standing:
                # Again: meanwhile another process may have taken it out as that of an ended block.
                await self._server.zadd(layout.BLOCKS, {block.target: 0})
            else:
                await self._server.zrem(layout.BLOCKS, block.target)
        return bool(made)

    async def _audit(
        self, action: str, target: str, before: Block | None, after: Block | None, by: Actor
    ) -> None:
        await self._record(Entry(action, f"block:{target}", before, after), by)

    def _standing(self, block: Block | None) -> Block | None:
        return block if block is not None and block.stands(self._clock()) else None


def recorder(server: redis.Redis) -> Record:
    """Writes audit entries that belong to no change of a record.

    Args:
        server: The system of record.
    """

    async def record(entry: Entry, by: Actor) -> None:
        fields = {
            "who": by.who,
            "action": entry.action,
            "target": entry.target,
            "before": msgspec.json.encode(entry.before),
            "after": msgspec.json.encode(entry.after),
            "request_id": by.request_id,
        }
        async with reached():
            await server.xadd(places.AUDIT, fields)  # type: ignore[arg-type]

    return record


def _keys(subject: str) -> list[str]:
    return [layout.state(subject), layout.blocks(subject)]


def _args(client: str, word: str, details: str, expected: str, kept_ms: int) -> list[str | int]:
    return [_word(client), word, _field(client), details, expected, kept_ms]


def _word(client: str) -> str:
    """Field of the state that ``limits.lua`` reads."""
    return f"b:{client}" if client else "block"


def _field(client: str) -> str:
    return client or "*"


def _text(block: Block) -> str:
    return f"{block.mark} {msgspec.json.encode(block).decode()}"


def _texts(members: list[bytes | str]) -> list[str]:
    return [text if isinstance(text, str) else text.decode() for text in members]
