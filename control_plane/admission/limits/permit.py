"""What a request holds from its admission to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from control_plane.admission.limits.ledger import Report
from control_plane.admission.limits.standing import Headers, Standing

HOLD_S: Final = 0.1
"""What was granted ahead and is not used by then goes back, in seconds: a block takes hold within
this time, and another process gets what this one does not need."""


class Price:
    """What one request of a kind costs.

    Attributes:
        key: Equal for equal kinds.
        model: Public name of the model; empty for requests that reach none.
        version: Its version.
        cost: In requests of the rate: inputs of a batch.
        units: In units of the quota.
        ttl_ms: Milliseconds after which a permit lapses that nobody settled.
        ahead: True if more such requests are to be expected.
        offence: Thousandths of an offence, of requests that are refused whatever comes.
    """

    __slots__ = ("ahead", "cost", "key", "model", "offence", "ttl_ms", "units", "version")

    MARGIN_MS: Final = 10_000
    """How much longer than its request a permit lives, milliseconds."""

    def __init__(
        self,
        model: str = "",
        version: str = "",
        *,
        cost: int = 1,
        units: int = 0,
        deadline_ms: int = 0,
        ahead: bool = False,
        offence: int = 0,
    ) -> None:
        self.key = f"{model}|{version}|{cost}|{units}|{offence}"
        self.model = model
        self.version = version
        self.cost = cost
        self.units = units
        self.ttl_ms = deadline_ms + self.MARGIN_MS
        self.ahead = ahead
        self.offence = offence


class Grant:
    """Requests that one call to the accounts granted, and what became of them.

    Attributes:
        permit: Id of the permit in the accounts; empty while it is owed.
        granted: Requests in all.
        used: Of these, those that began.
        settled: Of these, those that ended.
        confirmed: Of these, those that are to be paid.
        returned: Requests that will never begin.
        requests: Requests that ended and were not reported yet.
        errors: Of these, those that failed.
        compute_us: Their part of the time of calls, microseconds.
        until: Event-loop time after which nothing of it may begin, seconds.
        pending: The report that the accounts were sent and did not confirm.
    """

    __slots__ = ("compute_us", "confirmed", "errors", "granted", "pending", "permit", "requests",
                 "returned", "settled", "until", "used")  # fmt: skip

    def __init__(self, permit: str, used: int, spare: int, until: float) -> None:
        self.permit = permit
        self.granted = used + spare
        self.used = used
        self.settled = self.confirmed = self.returned = 0
        self.requests = self.errors = self.compute_us = 0
        self.until = until
        self.pending: Report | None = None

    @property
    def spare(self) -> int:
        """Requests that may still begin."""
        return self.granted - self.used - self.returned

    def tells_more_than(self, report: Report) -> bool:
        """True if more has become of it than a report says."""
        return (self.used, self.settled, self.returned) != (
            report.used,
            report.settled,
            report.returned,
        )


class Permit:
    """One admitted request. It has to be ended once: by :meth:`confirm` or :meth:`refund`.

    Attributes:
        standing: Where the subject stood when it was granted; None if the accounts were away.
        units: What is paid for it if it is confirmed.
        soft: True while the caller is under a soft block.
    """

    __slots__ = ("_changed", "_ended", "_grant", "_spare", "soft", "standing", "units")

    def __init__(
        self,
        grant: Grant,
        standing: Standing | None,
        spare: int,
        units: int,
        changed: Callable[[Grant], None],
    ) -> None:
        """Hold one request of a grant.

        Args:
            grant: Of which one more is used.
            standing: What the accounts said; None if they are away.
            spare: Requests that are still granted ahead.
            units: Price of the request.
            changed: Told when the grant has to be reported.
        """
        self._grant = grant
        self.standing = standing
        self._spare = spare
        self._changed = changed
        self._ended = False
        self.units = units
        self.soft = standing is not None and standing.soft

    def headers(self) -> Headers:
        """The headers of rate and quota; none while the accounts are away."""
        if self.standing is None:
            return []
        return self.standing.headers(self._spare, self._spare * self.units)

    def confirm(self, compute_s: float) -> None:
        """The request was answered: its units are paid.

        Args:
            compute_s: Its part of the call to the model, seconds.
        """
        self._end(1, 0, compute_s)

    def refund(self, *, failed: bool = True) -> None:
        """The request was not answered: nothing is paid.

        Args:
            failed: True if it counts as an error in the usage.
        """
        self._end(0, int(failed), 0.0)

    def _end(self, confirmed: int, errors: int, compute_s: float) -> None:
        if self._ended:
            return
        self._ended = True
        grant = self._grant
        grant.settled += 1
        grant.confirmed += confirmed
        grant.requests += 1
        grant.errors += errors
        grant.compute_us += int(compute_s * 1e6)
        self._changed(grant)
