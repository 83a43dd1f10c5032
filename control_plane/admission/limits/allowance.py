"""What a process may admit by itself while the accounts are away."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from control_plane.admission.limits.permit import Price
from control_plane.admission.limits.standing import interval_us
from control_plane.admission.principal import Principal
from control_plane.errors import AdmissionUnavailable, TidegateError

MOST_S: Final = 60.0
"""So long after the accounts went away local decisions end, in seconds."""
MOST_UNITS: Final = 100_000
"""Units of one subject in that time, over all processes."""


class _Book:
    """One subject's share of this process."""

    __slots__ = ("slots", "tat", "units")

    def __init__(self) -> None:
        self.tat = self.units = 0.0
        self.slots = 0


class Allowance:
    """A share of every known tenant's limits: divided by the processes that are known."""

    def __init__(self, replicas: Callable[[], int]) -> None:
        """Ask for the number of processes when it is needed."""
        self._replicas = replicas
        self._books: dict[str, _Book] = {}
        self._since = 0.0

    def begin(self, now: float) -> None:
        """The accounts went away now (event-loop seconds): everybody's share is whole."""
        self._since = now
        self._books.clear()

    def take(self, principal: Principal, price: Price, now: float) -> None:
        """Begin a request.

        Args:
            principal: Who asks.
            price: What it costs.
            now: Event-loop time, seconds.

        Raises:
            AdmissionUnavailable: For anonymous callers, after a minute, and beyond the units.
            TidegateError: RATE_LIMITED or CONCURRENCY_LIMITED.
        """
        if principal.kind == "anonymous" or now - self._since > MOST_S:
            raise AdmissionUnavailable("The accounts are away: the call cannot be admitted", 5)
        book = self._books.setdefault(principal.subject, _Book())
        limits, replicas = principal.limits, max(1, self._replicas())
        interval = interval_us(limits) * replicas / 1e6
        burst = max(1, limits.burst // replicas)
        base = max(book.tat, now)
        due = base + price.cost * interval
        if due > now + burst * interval + 1e-9:
            wait = max(1, math.ceil(due - now - burst * interval))
            raise _limited("RATE_LIMITED", "Requests come faster than the tier allows", wait)
        if book.slots >= max(1, limits.concurrency // replicas):
            raise _limited("CONCURRENCY_LIMITED", "Too many requests are in flight", 1)
        if book.units + price.units > MOST_UNITS / replicas:
            raise AdmissionUnavailable("The accounts are away: the allowance is used up", 5)
        book.tat = due
        book.units += price.units
        book.slots += 1

    def leave(self, principal: Principal) -> None:
        """A request ended."""
        book = self._books.get(principal.subject)
        if book is not None and book.slots:
            book.slots -= 1


def _limited(code: str, message: str, retry_s: int) -> TidegateError:
    return TidegateError(
        message,
        code=code,
        details={"retry_after_s": retry_s},
        headers={"retry-after": str(retry_s)},
    )
