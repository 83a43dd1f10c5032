"""What is left of a tenant's quotas, as ``limits.lua`` counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis.asyncio as redis
from msgspec import Struct

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.standing import day_end, month_end
from control_plane.admission.usage.period import day_name
from control_plane.records.server import reached


class Window(Struct, frozen=True):
    """The quota of a calendar month or day, UTC.

    Attributes:
        limit: Units; None for no cap.
        used: Units paid.
        reserved: Units of requests under way, paid or given back when they end.
        remaining: Units that may still be asked for; None without a cap.
        resets_at: Epoch second at which the next one begins.
    """

    limit: int | None
    used: int
    reserved: int
    remaining: int | None
    resets_at: int


class Quota(Struct, frozen=True):
    """Where a tenant stands.

    Attributes:
        month: Of this month.
        day: Of this day.
    """

    month: Window
    day: Window


async def read_quota(server: redis.Redis, tenant: str, limits: Limits | None) -> Quota:
    """Where a tenant stands now, by the server's clock; see :meth:`Usage.quota`."""
    subject = f"t:{tenant}"
    async with reached():
        seconds, micros = await server.time()
        this_month, today = day_name(seconds)[:6], day_name(seconds)
        pipe = server.pipeline(transaction=True)
        pipe.hmget(layout.state(subject), "month", "mu", f"m:{this_month}", "day", "du")
        pipe.hgetall(layout.permits(subject))
        now_us = seconds * 1_000_000 + micros
        pipe.zrangebyscore(layout.expiry(subject), "-inf", now_us)
        state, permits, lapsed = await pipe.execute()
    month, mu, other, day, du = (field.decode() if field else "" for field in state)
    counted = (
        (this_month, mu if month == this_month else other),
        (today, du if day == today else ""),
    )
    lapsed_ids = frozenset(lapsed)
    caps = (limits.month_units, limits.day_units) if limits else (None, None)
    ends = (month_end(seconds), day_end(seconds))
    month_window, day_window = (
        _window(cap, int(units or 0), _reserved(permits, lapsed_ids, prefix), end)
        for cap, (prefix, units), end in zip(caps, counted, ends, strict=True)
    )
    return Quota(month_window, day_window)


def _reserved(
    permits: Mapping[bytes, bytes], lapsed: frozenset[bytes], prefix: str
) -> tuple[int, int]:
    """Units that permits of a month or day hold, and those that they held and that go back."""
    held = back = 0
    for name, packed in permits.items():
        part: Any = packed.decode().split(";")
        granted, _, settled, returned, _, _, units, hour, is_open, _ = part
        if is_open == "1" and hour.startswith(prefix):
            left = (int(granted) - int(settled) - int(returned)) * int(units)
            if name in lapsed:
                back += left
            else:
                held += left
    return held, back


def _window(cap: int | None, counted: int, reserved: tuple[int, int], end: int) -> Window:
    held, back = reserved
    remaining = None if cap is None else max(0, cap - counted + back)
    return Window(cap, counted - held - back, held, remaining, end)
