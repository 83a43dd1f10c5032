"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from msgspec import Struct


class Backoff(Struct, frozen=True):
    """Waits that double from one failure to the next.

    Attributes:
        first_s: Seconds after the first failure, more than 0.
        most_s: Seconds that no wait exceeds.
    """

    first_s: float = 5.0
    most_s: float = 300.0

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least 1."""
        # Beyond 2^64 the product would only grow out of a float's range.
        return min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 64))
