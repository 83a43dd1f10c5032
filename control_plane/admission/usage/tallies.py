"""Rows of usage: where they stand, and what was counted there."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Iterable, Mapping
from itertools import islice
from typing import Annotated, Final

from msgspec import Meta, Struct

from control_plane.admission.usage.period import LATEST

SLICE: Final = 500
"""Fields or rows at most between which others have their turn on the event loop."""

_Text = Annotated[str, Meta(max_length=128)]


class Spot(Struct, frozen=True, order=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Where a row stands among those of its tenant: they come in this order.

    Attributes:
        start: Epoch second at which its hour, day or month begins.
        client: ``k:<key id>``, or ``j:<digest>`` of a token's issuer and subject.
        model: Public name; empty for requests that reached none.
        version: Of the model.
    """

    start: Annotated[int, Meta(ge=0, le=LATEST)]
    client: _Text = ""
    model: _Text = ""
    version: _Text = ""


class Tally(Struct, gc=False):
    """What was counted.

    Attributes:
        requests: That ended.
        errors: Of these, those that failed; nothing is paid for them.
        units: Of the quota, paid.
        compute_us: Their part of the time of calls to the model, microseconds.
    """

    requests: int = 0
    errors: int = 0
    units: int = 0
    compute_us: int = 0

    def add(self, measure: str, amount: int) -> None:
        """Count more of what ``limits.lua`` calls ``u``, ``r``, ``e`` or ``c``."""
        if measure == "u":
            self.units += amount
        elif measure == "r":
            self.requests += amount
        elif measure == "e":
            self.errors += amount
        elif measure == "c":
            self.compute_us += amount


Row = tuple[Spot, Tally]


def add_up(
    tallies: dict[Spot, Tally],
    starts: Mapping[bytes, int],
    fields: Iterable[tuple[bytes, bytes]],
    after: Spot | None,
) -> None:
    """Count fields of a day.

    Args:
        tallies: What they are added to.
        starts: Epoch second of the row by the hour of the day (``b"07"``); other hours are left
            out.
        fields: ``<HH>|<client>|<model>|<version>|<measure>`` and its number.
        after: Rows up to this one are left out; None for all.
    """
    for name, amount in fields:
        start = starts.get(name[:2])
        if start is None:
            continue
        client, model, version, measure = name[3:].decode().split("|")
        spot = Spot(start, client, model, version)
        if after is None or spot > after:
            tally = tallies.get(spot)
            if tally is None:
                tally = tallies[spot] = Tally()
            tally.add(measure, int(amount))


async def in_order(tallies: Mapping[Spot, Tally]) -> AsyncGenerator[Row, None]:
    """Rows in their order; others have their turn after each :data:`SLICE` of them."""
    runs: list[list[Spot]] = []
    spots = iter(tallies)
    while run := sorted(islice(spots, SLICE)):
        runs.append(run)
        await asyncio.sleep(0)
    for number, spot in enumerate(heapq.merge(*runs), 1):
        yield spot, tallies[spot]
        if number % SLICE == 0:
            await asyncio.sleep(0)


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    found = Tally()
    for tally in tallies:
        found.requests += tally.requests
        found.errors += tally.errors
        found.units += tally.units
        found.compute_us += tally.compute_us
    return found
