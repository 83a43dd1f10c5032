"""What every record of the system of record has."""

from __future__ import annotations

from msgspec import Struct


class Record(Struct, frozen=True, kw_only=True):
    """One record; its room says what else it holds.

    Attributes:
        revision: Grows by one with each change.
        created_at: Epoch seconds.
        updated_at: Epoch seconds.
        schema: Version of the record's shape.
    """

    revision: int = 1
    created_at: int = 0
    updated_at: int = 0
    schema: int = 1
