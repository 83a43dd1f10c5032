"""What those who read objects need of a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from control_plane.types import EncodedInput

Ask = Callable[[EncodedInput], Awaitable[Any]]
"""Takes one part to the model and gives its row of the outputs.

Raises:
    TidegateError: What the lane raises, in the end.
"""
Progress = Callable[[float], None]
"""Told what is done, 0 to 100."""
