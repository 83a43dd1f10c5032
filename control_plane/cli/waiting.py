"""Waiting until something has come true on the other side of the operators' API."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import click

from control_plane.cli.options import Decorator

POLL_S: Final = 1.0

_T = TypeVar("_T")

wait: Final[Decorator] = click.option(
    "--wait", type=click.IntRange(1, 3600), metavar="SECONDS",
    help="Wait so long until it is so; otherwise exit status 1.",
)  # fmt: skip


def patiently(look: Callable[[], _T], is_so: Callable[[_T], bool], seconds: float) -> _T:
    """Look again every second until it is so, or the time is over.

    Args:
        look: Asks.
        is_so: True of an answer that ends the wait.
        seconds: How long; 0 for one look.

    Returns:
        The latest answer.
    """
    end = time.monotonic() + seconds
    while True:
        found = look()
        left = end - time.monotonic()
        if is_so(found) or left <= 0:
            return found
        time.sleep(min(POLL_S, left))
