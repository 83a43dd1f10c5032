"""What a comparison of two contracts tells."""

from __future__ import annotations

from msgspec import Struct


class Change(Struct, frozen=True):
    """One difference that a client can notice.

    Attributes:
        where: Place in ``contract.yaml``, as JSON Pointer (RFC 6901) with references followed; of
            what is gone or an example: where it stood before.
        what: What was, what is, what follows from it, and the remedy if there is one.
        breaking: True if a client that worked before may fail now, or if it cannot be shown that
            none does.
        adds: True if clients can do or read more than before.
    """

    where: str
    what: str
    breaking: bool = False
    adds: bool = False


class Comparison(Struct, frozen=True):
    """Two versions of a model, side by side.

    Attributes:
        model: Public name.
        before: The version that clients use, ``vMAJOR.MINOR.PATCH``.
        after: The version that is to take its place.
        changes: Breaking ones first, then by place.
        is_compatible: True if no change is breaking.
        calls_for: The least version number after ``before`` that the changes call for (Semantic
            Versioning 2.0.0): the next major of breaks, the next minor of additions, else the
            next patch.
        is_numbered_well: True if ``after`` is at least that.
    """

    model: str
    before: str
    after: str
    changes: tuple[Change, ...]
    is_compatible: bool
    calls_for: str
    is_numbered_well: bool
