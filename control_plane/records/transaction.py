"""One atomic step of the system of record, as ``write_record.lua`` takes it: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from control_plane.errors import TidegateError
from control_plane.records import places

_encode: Final = msgspec.json.encode
_KEPT_BACK: Final = ("digests", "schema")

Command = tuple[str, ...]
"""A command of the server: its name, one key, arguments."""


class Moved(TidegateError):
    """Somebody else's change came first."""

    code = "REVISION_CONFLICT"


class Actor(Struct, frozen=True):
    """On whose behalf a change is made.

    Attributes:
        who: ``k:<key id>`` of an operator, or ``system``.
        request_id: Of the request that asked for it; empty without one.
    """

    who: str
    request_id: str = ""


SYSTEM: Final = Actor("system")


class Check(Struct, frozen=True):
    """What must hold at the moment of the change.

    Attributes:
        command: Answers a number; ``revision`` is that of a record, 0 without one.
        expected: That number.
        refusal: The error, by the number found instead.
    """

    command: Command
    expected: int
    refusal: Callable[[int], TidegateError]


class Entry(Struct, frozen=True):
    """An audit entry: the records in it never hold digests.

    Attributes:
        action: Such as ``tenant.patch``.
        target: Such as ``tenant:acme``.
        before: The record as it was; None if there was none.
        after: The record as it is; None if there is none.
    """

    action: str
    target: str
    before: Struct | None
    after: Struct | None


class Change(Struct, frozen=True):
    """One atomic step.

    Attributes:
        checks: In the order in which they are refused.
        writes: Commands.
        entries: For the audit log; their targets are what everyone is told of.
    """

    checks: tuple[Check, ...]
    writes: tuple[Command, ...]
    entries: tuple[Entry, ...]

    def encode(self, by: Actor) -> tuple[list[str], bytes]:
        """The keys and the argument of ``write_record.lua``."""
        commands = [check.command for check in self.checks] + list(self.writes)
        keys = list(dict.fromkeys([places.AUDIT, *(command[1] for command in commands)]))
        place = {key: index for index, key in enumerate(keys, start=1)}

        def placed(command: Command) -> list[Any]:
            return [command[0], place[command[1]], *command[2:]]

        plan = {
            "checks": [[placed(check.command), check.expected] for check in self.checks],
            "writes": [placed(command) for command in self.writes],
            "audit": place[places.AUDIT],
            "entries": [_fields(entry, by) for entry in self.entries],
            "channel": places.CHANGES,
            "news": [entry.target for entry in self.entries],
        }
        return keys, _encode(plan)


def _fields(entry: Entry, by: Actor) -> list[str]:
    fields = {
        "who": by.who,
        "action": entry.action,
        "target": entry.target,
        "before": _shown(entry.before),
        "after": _shown(entry.after),
        "request_id": by.request_id,
    }
    return [part for pair in fields.items() for part in pair]


def _shown(record: Struct | None) -> str:
    if record is None:
        return "null"
    fields = msgspec.to_builtins(record)
    return _encode({k: v for k, v in fields.items() if k not in _KEPT_BACK}).decode()


def stored(record: Struct) -> str:
    """A record as it is kept."""
    return _encode(record).decode()


def is_revision(key: str, expected: int) -> Check:
    """The record has not been changed since it was read."""

    def refusal(found: int) -> TidegateError:
        if found == 0:
            return not_found()
        return moved(expected, found)

    return Check(("revision", key), expected, refusal)


def moved(expected: int, found: int) -> Moved:
    """The error of a change that came second."""
    return Moved(
        "The resource was changed since it was read",
        details={"expected_revision": expected, "revision": found},
    )


def not_found() -> TidegateError:
    """The error of a resource that does not exist."""
    return TidegateError("There is no such resource", code="NOT_FOUND")
