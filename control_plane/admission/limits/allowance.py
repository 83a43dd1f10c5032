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
"""So many seconds without the accounts are bridged; outages that follow each other count as one."""
MOST_UNITS: Final = 100_000
"""Units of one subject in that time, over all processes."""
CALM_S: Final = 300.0
"""After so many seconds with the accounts an allowance is whole again."""


class _Book:
    """One subject's share of this process."""

    __slots__ = ("slots", "tat", "units")

    def __init__(self, tat: float) -> None:
        self.tat = tat
        self.units = self.slots = 0


class Allowance:
    """A share of every known tenant's limits: divided by the processes that are known."""

    def __init__(self, replicas: Callable[[], int]) -> None:
        """Ask for the number of processes when it is needed."""
        self._replicas = replicas
        self._books: dict[str, _Book] = {}
        self._since = self._ended = -math.inf
        self._spent_s = 0.0

    def begin(self, now: float) -> None:
        """The accounts went away now (event-loop seconds).

        Everybody's share is whole, unless they were away a short while ago: a server that comes
        and goes must not give everybody a share each time.
        """
        self._since = now
        if now - self._ended > CALM_S:
            self._spent_s = 0.0
            self._books.clear()

    def end(self, now: float) -> None:
        """The accounts are back now."""
        self._ended = now
        self._spent_s += now - self._since

    def take(self, principal: Principal, price: Price, now: float, wait_s: float = 0.0) -> None:
        """Begin a request.

        Args:
            principal: Who asks.
            price: What it costs.
            now: Event-loop time, seconds.
            wait_s: Seconds until the rate was whole again, as the accounts said last.

        Raises:
            AdmissionUnavailable: For anonymous callers, after a minute, and beyond the units.
            TidegateError: RATE_LIMITED or CONCURRENCY_LIMITED.
        """
        if principal.kind == "anonymous" or self._spent_s + now - self._since > MOST_S:
            raise AdmissionUnavailable("The accounts are away: the call cannot be admitted", 5)
        book = self._books.get(principal.subject)
        if book is None:
            book = self._books[principal.subject] = _Book(now + wait_s)
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
