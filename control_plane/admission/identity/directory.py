"""Tiers, tenants and keys as this process knows them: a cache that hears of every change.

How old an answer may be:

- With the system of record in reach, 0.9 s: a change is pushed, and unless it is proven that
  pushes arrive (``pushes.py``) a record is read again before it is used.
- With it away, 60 s after the record was last known to be good; then ``ADMISSION_UNAVAILABLE``.
- That there is no such record is remembered for 5 s, or until the push that tells of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import Struct
from redis.exceptions import ConnectionError as ConnectionBroken
from redis.exceptions import RedisError

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import ApiKey, Tenant, Tier
from control_plane.admission.recent import Recent
from control_plane.coalesce import Closed, Coalescer, QueueFull
from control_plane.errors import AdmissionUnavailable
from control_plane.records.pushes import TRUST_S, Changes, Watch
from control_plane.tasks import end

log = logging.getLogger(__name__)

STALE_S: Final = 60.0
ABSENT_S: Final = 5.0
READ_S: Final = 0.5
AWAY_S: Final = 0.25
"""Seconds after a failed read in which no other is tried."""
MAX_READS: Final = 1000
_Record = ApiKey | Tenant | Tier

_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "key": msgspec.json.Decoder(ApiKey),
    "tenant": msgspec.json.Decoder(Tenant),
    "tier": msgspec.json.Decoder(Tier),
}
_PLACES: Final = {
    "key": layout.key_record,
    "tenant": layout.tenant_record,
    "tier": layout.tier_record,
}


class _Entry(Struct, frozen=True, eq=False):
    """A record as it was read.

    Attributes:
        record: None if there is none.
        read_at: ``monotonic()`` of the start of the read.
        watch: The subscription that tells of its changes since.
    """

    record: _Record | None
    read_at: float
    watch: Watch

    @property
    def good_at(self) -> float:
        """The latest ``monotonic()`` at which it is known to have been right."""
        return max(self.read_at, self.watch.proven_at)

    def is_current(self, now: float) -> bool:
        """True if it may be used without another read."""
        recent = self.record is not None or now < self.read_at + ABSENT_S
        return recent and now < self.good_at + TRUST_S


class Directory:
    """Answers for the latest 100,000 records, and the latest 10,000 that do not exist.

    Attributes:
        epoch: Grows with every change that is heard of, when changes may have been missed, and
            when a record that is not current was given out: what was derived from records and
            noted with an epoch read before may be used while the epoch is the same and
            ``is_proven`` is true.
    """

    def __init__(self, records: redis.Redis) -> None:
        """Take a client; needs a running event loop.

        Args:
            records: The system of record; a client that waits between retries delays answers.
        """
        self.epoch = 0
        self._records = records
        self._present: Recent[str, _Entry] = Recent(100_000)
        self._absent: Recent[str, _Entry] = Recent(10_000)
        self._reads: dict[str, asyncio.Task[_Entry | None]] = {}
        self._away_until = 0.0
        self._changes = Changes(records, self._changed, self._restarted)
        self._following: asyncio.Task[None] | None = None
        self._reader: Coalescer[str, bytes | str | None] = Coalescer(
            self._fetch, max_batch=256, slots=4, max_waiting=MAX_READS
        )

    async def start(self) -> None:
        """Begin to listen for changes."""
        self._following = asyncio.get_running_loop().create_task(self._changes.follow())

    async def close(self) -> None:
        """Stop listening; reads that are under way end within half a second."""
        if self._following is not None:
            await end([self._following])
        await self._reader.close(READ_S)

    @property
    def is_proven(self) -> bool:
        """True while every change is known to arrive: what this epoch's records say holds."""
        return monotonic() < self._changes.watch.proven_at + TRUST_S

    async def key(self, key_id: str) -> ApiKey | None:
        """What is kept of an API key; None if there is none.

        Raises:
            AdmissionUnavailable: If it cannot be read and is not known well enough.
        """
        record = await self._find(f"key:{key_id}")
        return record if isinstance(record, ApiKey) else None

    async def tenant(self, tenant: str) -> Tenant | None:
        """A tenant; see :meth:`key`."""
        record = await self._find(f"tenant:{tenant}")
        return record if isinstance(record, Tenant) else None

    async def tier(self, name: str) -> Tier | None:
        """A tier; see :meth:`key`."""
        record = await self._find(f"tier:{name}")
        return record if isinstance(record, Tier) else None

    def known_until(self, tenant: str) -> float:
        """``monotonic()`` until which a tenant is served with the server away; 0 if unknown."""
        entry = self._present.get(f"tenant:{tenant}")
        return 0.0 if entry is None else entry.good_at + STALE_S

    def forget(self, name: str) -> None:
        """Read a record again before its next use.

        Args:
            name: ``key:<id>``, ``tenant:<id>`` or ``tier:<name>``.
        """
        self._present.drop(name)
        self._absent.drop(name)
        # A read under way may have been answered before the change: its result is not kept.
        self._reads.pop(name, None)

    def _changed(self, name: str) -> None:
        kind, colon, which = name.partition(":")
        if kind not in _DECODERS and kind.isalpha() and colon and which:
            return  # a record of another room
        self.epoch += 1
        self.forget(name)
        if kind not in _DECODERS:
            log.warning("a change of no known kind; all records are read again")
            self._present.clear()
            self._absent.clear()
            self._reads.clear()

    def _restarted(self) -> None:
        """What was read before, or is being read, may lack changes that were not heard of."""
        self.epoch += 1
        self._reads.clear()
        self._away_until = 0.0

    async def _find(self, name: str) -> _Record | None:
        entry = self._present.get(name) or self._absent.get(name)
        watch = self._changes.watch
        if entry is not None and entry.watch is watch and entry.is_current(monotonic()):
            return entry.record
        if monotonic() >= self._away_until:
            found = await asyncio.shield(self._reads.get(name) or self._begin(name))
            if found is not None:
                return found.record
        entry = self._present.get(name)
        if entry is not None and monotonic() < entry.good_at + STALE_S:
            self.epoch += 1
            return entry.record
        raise AdmissionUnavailable("The records of tenants and keys cannot be read now")

    def _begin(self, name: str) -> asyncio.Task[_Entry | None]:
        if len(self._reads) >= MAX_READS:
            raise AdmissionUnavailable("Too many records are being read")
        task = asyncio.get_running_loop().create_task(self._read(name))
        self._reads[name] = task
        return task

    async def _read(self, name: str) -> _Entry | None:
        """Read a record and keep it; None if that failed, or what stands there is no record."""
        watch, begun = self._changes.watch, monotonic()
        entry: _Entry | None = None
        try:
            deadline = asyncio.get_running_loop().time() + READ_S
            raw = await self._reader.wait(self._reader.enter(name, None, deadline))
            record = None if raw is None else _DECODERS[name.partition(":")[0]].decode(raw)
            entry = _Entry(record, begun, watch)
        except (QueueFull, Closed):
            log.warning("a record was not read: too many are waited for")
        except (RedisError, OSError, TimeoutError):
            self._away_until = monotonic() + AWAY_S
        except msgspec.DecodeError:
            log.error("a record is not valid", extra={"record": name})  # noqa: TRY400 - may hold digests
        if self._reads.get(name) is asyncio.current_task():
            del self._reads[name]
            if entry is not None:
                self._keep(name, entry)
        return entry

    def _keep(self, name: str, entry: _Entry) -> None:
        kept, other = self._present, self._absent
        if entry.record is None:
            kept, other = other, kept
        kept.put(name, entry)
        other.drop(name)

    async def _fetch(
        self, names: list[str], _deadline: float
    ) -> Sequence[bytes | str | Exception | None]:
        places = []
        for name in names:
            kind, _, which = name.partition(":")
            places.append(_PLACES[kind](which))
        try:
            return await self._records.mget(places)
        except ConnectionBroken:  # of a server that has been restarted since
            return await self._records.mget(places)
