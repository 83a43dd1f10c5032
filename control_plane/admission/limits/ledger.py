"""The accounts of every subject: asks ``limits.lua`` and reads what it says."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import hiredis
import msgspec
from msgspec import Struct

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.link import Command, Link, LinkDown
from control_plane.admission.limits.standing import Standing, interval_us

ANONYMOUS_IDLE_S: Final = 7_200
"""What is known of an anonymous caller is forgotten after two hours without a call."""
REPLY_S: Final = 0.4
"""Seconds after which a server that does not answer counts as away."""
_SCRIPT: Final = (Path(__file__).parent / "limits.lua").read_bytes()
_encode: Final = msgspec.msgpack.Encoder().encode


WITHDRAWN: Final = -1
_AWAY: Final = ("LOADING", "READONLY", "OOM", "MISCONF", "NOAUTH", "NOPERM", "MASTERDOWN", "BUSY",
                "CLUSTERDOWN", "TRYAGAIN")  # fmt: skip
"""Errors of a server that can take nothing now."""


class ScriptFailed(Exception):
    """The script failed for one entry; others are not touched."""


class Reason(IntEnum):
    """Why something was not granted."""

    NONE = 0
    RATE = 1
    CONCURRENCY = 2
    MONTH_QUOTA = 3
    DAY_QUOTA = 4
    BLOCKED = 5


class Demand(Struct, frozen=True, array_like=True):
    """What is asked for, of one kind of request.

    Attributes:
        permit: Id of the permit; asked again with the same id it is granted once.
        client: Who of the subject asks.
        wanted: Requests that wait.
        ahead: Requests that are expected.
        cost: Of one request, in requests of the rate.
        units: Of one request, in units of the quota.
        slot: 1 if each is in flight until it is settled, 0 if not.
        ttl_ms: Milliseconds after which the permit lapses.
        offence: Thousandths of an offence of the client.
        owed: 1 for what was served while the accounts were away: recorded, never refused.
    """

    permit: str
    client: str
    wanted: int
    ahead: int
    cost: int
    units: int
    slot: int
    ttl_ms: int
    offence: int = 0
    owed: int = 0


class Report(Struct, frozen=True, array_like=True):
    """What became of a permit, in totals so far, and what to add to the usage.

    Attributes:
        permit: Its id.
        used: Requests that began.
        settled: Of these, those that ended.
        confirmed: Of these, those that are to be paid.
        returned: Requests that will never begin; ``WITHDRAWN`` for whatever was granted, of a
            permit whose answer was lost: it is refunded.
        field: ``<client>|<model>|<version>`` of the usage.
        requests: Requests that ended since the report before.
        errors: Of these, those that failed.
        compute_us: Their part of the time of calls to Triton, microseconds.
    """

    permit: str
    used: int
    settled: int
    confirmed: int
    returned: int
    field: str
    requests: int
    errors: int
    compute_us: int


class Granted(Struct, frozen=True):
    """The answer to a demand.

    Attributes:
        now: Requests that may begin.
        ahead: Requests that may begin later.
        reason: Why it is fewer than wanted.
        retry_us: Microseconds until one more may be granted; 0 if a quota has to end first.
        soft: True while a soft block stands.
    """

    now: int
    ahead: int
    reason: Reason
    retry_us: int
    soft: bool


class Entry(Struct, frozen=True):
    """Everything for one subject in one call."""

    subject: str
    limits: Limits
    reports: list[Report]
    demands: list[Demand]


class Verdict(Struct, frozen=True):
    """The answer to an entry: where the subject stands, and an answer a demand."""

    standing: Standing
    granted: list[Granted]


class Ledger:
    """The accounts on one server."""

    def __init__(self, link: Link) -> None:
        """Use a connection."""
        self._link = link
        self._digest: bytes | None = None

    async def ask(
        self, entries: Sequence[Entry], *, repeated: bool = False
    ) -> list[Verdict | ScriptFailed]:
        """Take the entries to the server in one round trip, one atomic call an entry.

        Args:
            entries: At least one.
            repeated: True if the same call was made before and its reply was lost.

        Raises:
            LinkDown: If there is no answer; the entries may have been carried out.
        """
        if self._digest is None:
            await self.prepare()
        replies = await self._call(entries, repeated)
        if any(_kind(reply) == "NOSCRIPT" for reply in replies):
            await self.prepare()
            replies = await self._call(entries, repeated=True)
        for reply in replies:
            if _kind(reply) in _AWAY:
                raise LinkDown(f"the server refused: {_kind(reply)}")
        return [_read(entry, reply) for entry, reply in zip(entries, replies, strict=True)]

    async def prepare(self) -> None:
        """Load the script into the server.

        Raises:
            LinkDown: If it cannot be reached.
        """
        replies = await self._link.call([(b"SCRIPT", b"LOAD", _SCRIPT)], REPLY_S)
        if _kind(replies[0]):
            raise LinkDown(f"the server refused: {_kind(replies[0])}")
        self._digest = replies[0]

    async def _call(self, entries: Sequence[Entry], repeated: bool) -> list[Any]:  # noqa: FBT001
        return await self._link.call([self._command(entry, repeated) for entry in entries], REPLY_S)

    def _command(self, entry: Entry, repeated: bool) -> Command:  # noqa: FBT001
        limits, subject = entry.limits, entry.subject
        payload = _encode(
            (
                int(repeated),
                interval_us(limits),
                limits.burst,
                limits.concurrency,
                -1 if limits.month_units is None else limits.month_units,
                -1 if limits.day_units is None else limits.day_units,
                int(limits.overage == "bill"),
                ANONYMOUS_IDLE_S if subject.startswith("a:") else 0,
                entry.reports,
                entry.demands,
            )
        )
        assert self._digest is not None  # noqa: S101 (loaded before)
        return (
            b"EVALSHA", self._digest, b"4", layout.state(subject), layout.permits(subject),
            layout.expiry(subject), layout.usage(subject), payload,
        )  # fmt: skip


def _read(entry: Entry, reply: Any) -> Verdict | ScriptFailed:
    if isinstance(reply, hiredis.ReplyError):
        return ScriptFailed(_kind(reply))
    now_us, wait_us, held, day_used, month_used, answers = reply
    granted = [
        Granted(answer[0], answer[1], Reason(answer[2]), answer[3], answer[4] == 1)
        for answer in answers
    ]
    soft = any(answer.soft for answer in granted)
    standing = Standing(entry.limits, now_us, wait_us, held, day_used, month_used, soft=soft)
    return Verdict(standing, granted)


def _kind(reply: Any) -> str:
    """The first word of an error reply, without its text, which may quote arguments; else empty."""
    return str(reply).split(" ", 1)[0] if isinstance(reply, hiredis.ReplyError) else ""
