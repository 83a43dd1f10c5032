"""What readers say of an object that they cannot read."""

from __future__ import annotations

from typing import Any

from control_plane.errors import TidegateError


def unusable(message: str, **details: Any) -> TidegateError:
    """An object is not what the input takes.

    Args:
        message: What is wrong, one sentence without the object's content.
        details: The facts.
    """
    return TidegateError(message, code="OBJECT_UNUSABLE", details=details)
