"""What commands print: aligned tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click


def rows(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print a table with a line a record.

    Args:
        records: What to print.
        columns: Heading by path of the field: ``limits.burst``.
    """
    cells = [tuple(columns.values())]
    cells += [tuple(shown(path, at(record, path)) for path in columns) for record in records]
    _aligned(cells)


def fields(record: Mapping[str, Any]) -> None:
    """Print a record, a line a field; those of objects in it by their path."""
    _aligned([(path, shown(path, value)) for path, value in _flat(record)])


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
        return " ".join(map(str, value))
    if path.endswith(("_at", "_until")):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return "".join(sign if sign.isprintable() else "�" for sign in str(value))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _aligned(cells: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())
