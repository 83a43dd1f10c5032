"""Patterns of strings, for Python and for JSON Schema alike."""

from __future__ import annotations


def exactly(pattern: str) -> str:
    r"""A pattern that a whole string has to fit, written so that every engine agrees.

    JSON Schema's patterns (ECMA-262) end at ``$``, which in Python also stands before a last
    newline; ``\Z``, which does not, is none of ECMA-262.

    Args:
        pattern: Without anchors.
    """
    return rf"^(?:{pattern})(?!\n)$"


PLAIN = r"^[^\u0000-\u001f\u007f-\u009f]*$"
"""A text without control characters, for JSON Schema and Python alike."""
