"""Units that were paid for jobs and go back: from the stream of refunds to the accounts, once.

::

    system of record: stream ─► read ─► limits server: refunds.lua, with a mark a job ─► delete

Killed at any point, it reads the entry again, and the mark says what was done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import Struct
from redis.exceptions import RedisError

from control_plane.admission import layout
from control_plane.records.lease import Lease

log = logging.getLogger(__name__)

ROUND_S: Final = 1.0
LEASE_MS: Final = 5_000
MOST: Final = 100
STEP_S: Final = 2.0
MARK_S: Final = 604_800
"""A job's mark stays for a week: longer than an entry waits for the limits server."""
_SCRIPT: Final = Path(__file__).with_name("refunds.lua").read_text(encoding="utf-8")


class Refund(Struct, frozen=True):
    """What goes back for one job.

    Attributes:
        job: Its id: ``job_`` and a UUID of version 7, whose first 48 bits are the milliseconds of
            its submission (RFC 9562), when it was paid.
        tenant: Who paid.
        client: Who of the tenant.
        model: Public name of the model.
        version: Its version.
        units: To be given back.
    """

    job: str
    tenant: str
    client: str
    model: str
    version: str
    units: int

    @property
    def hour(self) -> str:
        """The hour that paid, ``YYYYMMDDHH``, UTC."""
        paid_s = int(self.job.removeprefix("job_")[:12], 16) / 1000
        return datetime.fromtimestamp(paid_s, UTC).strftime("%Y%m%d%H")


class Refunder:
    """Applies refunds; one process at a time does, and any two do no harm."""

    def __init__(
        self,
        records: redis.Redis,
        limits: redis.Redis,
        stream: str,
        refunded: Callable[[int], None],
    ) -> None:
        """Refund, once started.

        Args:
            records: Has the stream.
            limits: Has the accounts.
            stream: Key of the stream, whose entries have the fields of a :class:`Refund`.
            refunded: Told of units that were given back.
        """
        self._records: Any = records
        self._script = limits.register_script(_SCRIPT)
        self._lease = Lease(limits, layout.REFUNDER, LEASE_MS)
        self._stream = stream
        self._refunded = refunded

    async def run(self) -> None:
        """Refund every second until cancelled; another process may then go on at once."""
        try:
            while True:
                try:
                    await self.round()
                except (RedisError, OSError, TimeoutError) as error:
                    extra = {"fault": type(error).__name__}
                    log.warning("refunds are not applied now", extra=extra)
                except Exception:
                    log.exception("refunds are not applied now")
                await asyncio.sleep(ROUND_S)
        finally:
            await self._lease.give_up()

    async def round(self) -> None:
        """Apply all that there is, if no other process does.

        Raises:
            RedisError: If one of the servers is away; so do OSError and TimeoutError say.
        """
        is_full = True
        while is_full:
            async with asyncio.timeout(STEP_S):
                if not await self._lease.take():
                    return
                entries = await self._records.xrange(self._stream, count=MOST)
            for entry, fields in entries:
                async with asyncio.timeout(STEP_S):
                    await self._apply(fields)
                    await self._records.xdel(self._stream, entry)
            is_full = len(entries) == MOST

    async def _apply(self, fields: dict[bytes, bytes]) -> None:
        texts = {name.decode(): value.decode() for name, value in fields.items()}
        try:
            refund = msgspec.convert(texts, Refund, strict=False)
            hour = refund.hour
        except (msgspec.ValidationError, ValueError):
            log.error("a refund cannot be read", extra={"job": texts.get("job", "")})  # noqa: TRY400 - said by itself
            return
        subject = f"t:{refund.tenant}"
        keys = [
            layout.state(subject),
            layout.usage(subject, hour[:8]),
            layout.refunded(subject, refund.job),
        ]
        field = f"{refund.client}|{refund.model}|{refund.version}"
        if await self._script(keys=keys, args=[hour, field, refund.units, MARK_S]):
            self._refunded(refund.units)
