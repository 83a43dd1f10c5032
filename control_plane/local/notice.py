"""How a child says itself that it is ready, instead of being asked."""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "READY_FD"
"""The environment variable that tells a child the descriptor to write to."""


class Notice:
    """A pipe for one run of a child, which writes a line to it once.

    Attributes:
        descriptor: The end that the child inherits.
    """

    def __init__(self) -> None:
        """Open the pipe."""
        self._read, self.descriptor = os.pipe()
        os.set_blocking(self._read, False)

    def hand_over(self) -> None:
        """Close the child's end here: the child has it, or was never started."""
        os.close(self.descriptor)

    def given(self) -> bool:
        """True when the child has written since the last call."""
        try:
            return bool(os.read(self._read, 64))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close our end."""
        os.close(self._read)
