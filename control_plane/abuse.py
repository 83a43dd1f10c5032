"""The configurable rules against abuse: thresholds with their ranges.

``docs/abuse.md`` says what each rule is for; ``admission/abuse/rules.py`` applies them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Minutes = Annotated[int, Meta(ge=1, le=120, description="Length of the window, minutes")]
Samples = Annotated[int, Meta(ge=10, le=1_000_000, description="Fewer than this are not judged")]
Share = Annotated[float, Meta(ge=0.01, le=1, description="Share of 0.01 to 1")]
Keys = Annotated[int, Meta(ge=2, le=1_000_000, description="Different keys of an address")]


class ErrorShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A client most of whose requests are wrong.

    Attributes:
        on: False to leave the rule out.
        minutes: Length of the window.
        least: Requests in the window, answered or wrong, below which it is not judged.
        share: Of these the share with invalid input or bad credentials from which on it is found.
    """

    on: bool = True
    minutes: Minutes = 15
    least: Samples = 100
    share: Share = 0.6


class RateJump(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A client that suddenly sends many times what it used to.

    Attributes:
        on: False to leave the rule out.
        minutes: Whole minutes for which the jump has to last.
        least: Requests a minute below which it is not judged.
        times: The mean of these minutes, as a multiple of the busiest five minutes before.
        history: Minutes with requests that a client needs to have a baseline.
        baseline: Requests a minute that the baseline needs to have: who sent next to nothing so
            far has none, or every first bulk job would be a jump.
    """

    on: bool = True
    minutes: Annotated[int, Meta(ge=1, le=30)] = 3
    least: Samples = 300
    times: Annotated[float, Meta(ge=2, le=1000)] = 10.0
    history: Annotated[int, Meta(ge=5, le=100)] = 30
    baseline: Annotated[float, Meta(ge=0, le=1_000_000)] = 10.0


class ManyKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Many keys from one address, within one to two hours.

    Attributes:
        on: False to leave the rule out.
        refused: Different keys that were refused.
        valid: Different keys that were taken.
    """

    on: bool = True
    refused: Keys = 20
    valid: Keys = 100


class Enumeration(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Inputs that sweep: one value changed at a time, grids, texts that differ in one word.

    Attributes:
        on: False to leave the rule out.
        minutes: Length of the window.
        least: Inputs looked at in the window below which it is not judged.
        share: Of these the share that sweep.
    """

    on: bool = True
    minutes: Minutes = 60
    least: Samples = 200
    share: Share = 0.4


class Wordlist(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Texts whose words hardly ever come again: dictionaries, random tokens.

    Attributes:
        on: False to leave the rule out.
        minutes: Length of the window.
        least: Words looked at in the window below which it is not judged.
        familiar: At most this share of them were in the client's texts before.
    """

    on: bool = True
    minutes: Minutes = 60
    least: Samples = 300
    familiar: Share = 0.1


class AbuseRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All rules and what follows from them.

    Attributes:
        on: False to judge nobody; operators can still block.
        errors: See :class:`ErrorShare`.
        jump: See :class:`RateJump`.
        keys: See :class:`ManyKeys`.
        enumeration: See :class:`Enumeration`.
        wordlist: See :class:`Wordlist`.
        soft_s: Length of a soft block, seconds.
        hard_s: Length of the first hard block, seconds; each further one is twice as long.
        most_s: Length of the longest hard block, seconds.
        grace_s: Seconds after a block begins whose requests are not held against the client.
        forgive_s: Seconds without a block after which one of the past is forgotten.
        exempt: Patterns of tenants that are not judged: ``internal-*``.
    """

    on: bool = True
    errors: ErrorShare = ErrorShare()
    jump: RateJump = RateJump()
    keys: ManyKeys = ManyKeys()
    enumeration: Enumeration = Enumeration()
    wordlist: Wordlist = Wordlist()
    soft_s: Annotated[int, Meta(ge=10, le=86_400)] = 900
    hard_s: Annotated[int, Meta(ge=10, le=86_400)] = 900
    most_s: Annotated[int, Meta(ge=10, le=2_592_000)] = 86_400
    grace_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    forgive_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    exempt: Annotated[tuple[Annotated[str, Meta(max_length=63)], ...], Meta(max_length=256)] = ()
