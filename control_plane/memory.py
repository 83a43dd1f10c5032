"""Memory of a process that has started and is going to serve."""

from __future__ import annotations

import ctypes
import gc

THRESHOLDS = (20_000, 20, 50)
"""Rarer collections than Python's own: what a request allocates is freed by reference counts, and
a pause every 700 objects was what the slowest requests waited for."""


def settle() -> None:
    """Give back what the start has used up, and take what stays out of the garbage collector.

    Imports leave about 10 MiB of freed memory; what lives as long as the process (modules,
    routes, contracts) would be visited by every full collection, which then pauses requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
