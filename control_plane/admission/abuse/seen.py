"""What was seen of clients and addresses, in numbers."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Outcome(IntEnum):
    """How a request ended, as its client is concerned.

    ``FAILED`` is the service's own fault and held against nobody; so is ``LIMITED``, which the
    limits themselves answer.
    """

    OK = 0
    INVALID = 1
    AUTH = 2
    LIMITED = 3
    FAILED = 4


class Counts(Struct, frozen=True, array_like=True):
    """What a client did in a minute.

    Attributes:
        ok: Requests that were answered.
        invalid: Requests with invalid input.
        auth: Requests with bad credentials.
        limited: Requests over a limit.
        failed: Requests that failed through no fault of the client.
        sampled: See :class:`~control_plane.admission.abuse.probing.Signs`, as the rest.
        swept: Of the inputs looked at those that sweep.
        words: Words of texts.
        familiar: Of these words those met before.
    """

    ok: int = 0
    invalid: int = 0
    auth: int = 0
    limited: int = 0
    failed: int = 0
    sampled: int = 0
    swept: int = 0
    words: int = 0
    familiar: int = 0

    @property
    def requests(self) -> int:
        """All requests, however they ended."""
        return self.ok + self.invalid + self.auth + self.limited + self.failed


class Seen(Struct, frozen=True):
    """What a client did since the last ``take``.

    Attributes:
        subject: See :class:`Principal`.
        client: See :class:`Principal`.
        counts: In numbers.
    """

    subject: str
    client: str
    counts: Counts


class Spread(Struct, frozen=True):
    """The keys that came from an address.

    Attributes:
        network: The address as in the subject of an anonymous caller.
        valid: Clients whose credentials were taken.
        refused: Public ids or digests of credentials that were not.
    """

    network: str
    valid: frozenset[str]
    refused: frozenset[str]
