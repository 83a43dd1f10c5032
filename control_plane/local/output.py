"""Merges the output of many children, line by line, behind readable prefixes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

LINE_BYTES: Final = 8192
"""Longer lines are cut."""
PENDING_BYTES: Final = 4 << 20
"""Output that waits for a slow terminal; what exceeds it is dropped and counted."""
OWN_NAME: Final = "tidegate"

_COLOURS: Final = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94)
_CONTROL: Final = bytes(code for code in (*range(32), 127) if code not in b"\n\t")
_CUT: Final = b" [line cut]"

LineFilter = Callable[[str], str | None]
"""Rewrites a line of a child, or leaves it out with None."""


class Output:
    """Writes lines to a descriptor from a thread, so that a slow reader blocks nobody.

    A child's pipe is always read: a child that writes a lot is neither blocked nor buffered
    without bound.
    """

    def __init__(self, descriptor: int, names: Sequence[str], *, coloured: bool) -> None:
        width = max(map(len, (*names, OWN_NAME)))
        self._prefixes = {
            name: _prefix(name, width, colour if coloured else None)
            for name, colour in zip(
                (OWN_NAME, *names), (1, *_COLOURS * (len(names) // len(_COLOURS) + 1)), strict=False
            )
        }
        self._descriptor = descriptor
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._dropped = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Write a line of the supervisor's own."""
        self.put(self._prefixes[OWN_NAME] + text.encode() + b"\n", 1)

    def channel(self, name: str, line_filter: LineFilter | None = None) -> Channel:
        """Where the output of one run of a child goes."""
        return Channel(self, self._prefixes[name], line_filter)

    def put(self, data: bytes, lines: int) -> None:
        """Queue whole lines, or drop them when too much waits already."""
        with self._changed:
            if self._pending_bytes + len(data) > PENDING_BYTES:
                self._dropped += lines
            else:
                self._pending.append(data)
                self._pending_bytes += len(data)
            self._changed.notify()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, for at most ``timeout_s`` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._dropped or self._closed)
                if not self._pending and not self._dropped:
                    return
                data, self._pending_bytes = b"".join(self._pending), 0
                self._pending.clear()
                if self._dropped:
                    note = f"{self._dropped} lines dropped: logs come faster than they are read\n"
                    data += self._prefixes[OWN_NAME] + note.encode()
                    self._dropped = 0
            self._write_all(memoryview(data))

    def _write_all(self, data: memoryview) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # nobody reads the log any more: the children go on
            return


class Channel:
    """Cuts one child's bytes into lines.

    Attributes:
        last_line: The last line that was not empty, for a message on why the child ended.
    """

    def __init__(self, output: Output, prefix: bytes, line_filter: LineFilter | None) -> None:
        self.last_line = ""
        self._output = output
        self._prefix = prefix
        self._filter = line_filter
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the child."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._skipping and lines:
            lines[0], self._skipping = b"", False
        if len(self._rest) > LINE_BYTES:
            if not self._skipping:
                lines.append(self._rest)
            self._rest, self._skipping = b"", True
        elif self._skipping:
            self._rest = b""
        self._emit(lines)

    def end(self) -> None:
        """The child has ended: write what is left of its last line."""
        if not self._skipping:
            self._emit([self._rest])
        self._rest, self._skipping = b"", False

    def _emit(self, lines: list[bytes]) -> None:
        kept = [line for line in map(self._clean, lines) if line]
        if kept:
            self.last_line = kept[-1].decode(errors="replace")
            prefix = self._prefix
            self._output.put(b"".join([prefix + line + b"\n" for line in kept]), len(kept))

    def _clean(self, line: bytes) -> bytes:
        # Escape sequences of a client's making must not reach the operator's terminal.
        line = line.translate(None, _CONTROL)
        if len(line) > LINE_BYTES:
            line = line[:LINE_BYTES] + _CUT
        if self._filter is not None and line:
            return (self._filter(line.decode(errors="replace")) or "").encode()
        return line


def _prefix(name: str, width: int, colour: int | None) -> bytes:
    text = f"{name:<{width}} | "
    return (text if colour is None else f"\x1b[{colour}m{text}\x1b[0m").encode()
