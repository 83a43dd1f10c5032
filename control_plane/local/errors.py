"""Reasons not to start, each one line with its remedy.

::

    LocalError          one line for the operator, and the exit status that goes with it
    ├── StartRefused    2  nothing was started: an option, a port or the data directory is wrong
    └── StartFailed     1  something that was started did not come up
"""

from __future__ import annotations


class LocalError(Exception):
    """A failure that one line explains; no traceback belongs to it."""

    exit_code = 1


class StartRefused(LocalError):
    """What was asked for cannot be started as it is; nothing was started."""

    exit_code = 2


class StartFailed(LocalError):
    """A child process did not become ready."""
