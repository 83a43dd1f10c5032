"""YAML that remembers its lines, and faults that name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from control_plane.types import FileFault

MAX_BYTES = 1_048_576
MAX_VALUES = 100_000
MAX_DEPTH = 64


class FaultyContract(Exception):
    """A contract that cannot be used.

    Attributes:
        faults: Everything that is wrong with it, at least one.
    """

    def __init__(self, faults: list[FileFault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults


class Source:
    """A YAML file read as YAML 1.2: ``no`` is a string and a key that stands twice is a fault."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        if re.search(r"^%", text, re.MULTILINE):
            raise self._unreadable(1, "a directive (%) stands before the document")
        try:
            self._document = YAML(typ="rt", pure=True).load(text)
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._unreadable(line, error.problem or str(error)) from error
        except Exception as error:  # the parser raises whatever a hostile text makes it trip over
            raise self._unreadable(0, str(error).partition("\n")[0] or "nested too deep") from error
        if not isinstance(self._document, dict):
            raise self._unreadable(1, "expected a mapping at the top")
        try:
            self.data: dict[str, Any] = _Plain().value(self._document, depth=0)
        except ValueError as error:
            raise self._unreadable(0, str(error)) from error

    @classmethod
    def read(cls, path: Path, name: str) -> Source:
        """Read a file of at most 1 MiB.

        Args:
            path: Where it lies.
            name: How faults call it.

        Raises:
            FaultyContract: If it cannot be read or is no YAML mapping.
        """
        try:
            status = path.stat()
            if not S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                message = "larger than 1 MiB, or no regular file"
                raise FaultyContract([FileFault(name, 0, message, "Make it a short file")])
            return cls(name, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
            fault = FileFault(name, 0, f"cannot be read: {reason}", "Make it readable UTF-8")
            raise FaultyContract([fault]) from error

    def line(self, path: Sequence[str | int]) -> int:
        """The line on which the value at a path, or its nearest parent, stands."""
        node: Any = self._document
        line = 1
        for step in path:
            position = _position(node, step)
            if position is None:
                break
            line = position + 1
            node = node[step]
        return line

    def fault(self, path: Sequence[str | int], message: str, remedy: str) -> FileFault:
        """A fault at a path of the document."""
        return FileFault(self.file, self.line(path), message, remedy)

    def _unreadable(self, line: int, message: str) -> FaultyContract:
        remedy = "Correct the YAML: see the example in docs/contract.md"
        return FaultyContract([FileFault(self.file, line, f"no valid YAML: {message}", remedy)])


def _position(node: Any, step: str | int) -> int | None:
    try:
        if isinstance(node, dict):
            return int(node.lc.key(step)[0])  # type: ignore[attr-defined]
        if isinstance(node, list):
            return int(node.lc.item(step)[0])  # type: ignore[attr-defined]
    except (KeyError, IndexError, TypeError, AttributeError):
        pass
    return None


class _Plain:
    """Turns ruamel's containers and scalars into plain Python ones, within bounds."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def value(self, node: Any, depth: int) -> Any:
        """Convert a node and what is below it.

        Raises:
            ValueError: If a key is no string, a value has no form in JSON, the document is nested
                deeper than 64 levels (an alias to a parent has no end) or has more than 100,000
                values (aliases of aliases multiply).
        """
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, dict):
            return {_key(key): self.value(value, depth + 1) for key, value in node.items()}
        if isinstance(node, list):
            return [self.value(value, depth + 1) for value in node]
        return _scalar(node)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not a string: put it in quotes")  # noqa: TRY004
    return _text(key)


def _scalar(node: Any) -> Any:
    if node is None:
        return None
    if isinstance(node, (bool, ScalarBoolean)):
        return bool(node)
    if isinstance(node, str):
        return _text(node)
    for kind in (int, float):
        if isinstance(node, kind):
            return kind(node)
    raise ValueError(f"a value of type {type(node).__name__} has no form in JSON: put it in quotes")


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character (a lone surrogate)") from None
    return str(text)
