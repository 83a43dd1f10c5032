"""What commands print: aligned tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click


def rows(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print a table; see :func:`table`."""
    click.echo(table(records, columns))


def table(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table with a line a record.

    Args:
        records: What to show.
        columns: Heading by path of the field: ``limits.burst``.
    """
    cells = [tuple(columns.values())]
    cells += [tuple(shown(path, at(record, path)) for path in columns) for record in records]
    return _aligned(cells)


def fields(record: Mapping[str, Any]) -> None:
    """Print a record, a line a field; those of objects in it by their path."""
    click.echo(_aligned([(path, shown(path, value)) for path, value in _flat(record)]))


def document(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def at(record: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None if there is none."""
    value: Any = record
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def shown(path: str, value: Any) -> str:
    """A value for people: moments as dates (UTC), what is not there as a dash."""
    if value is None and path.endswith("_units"):
        return "none"
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _printable(" ".join(map(str, value)))
    if path.endswith(("_at", "_until")):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return _printable(str(value))


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _aligned(cells: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
