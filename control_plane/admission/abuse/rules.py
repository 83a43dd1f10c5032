"""The rules against abuse: pure functions from what a client did to what is suspicious in it.

Which thresholds, and whether a rule is on, says :class:`~control_plane.abuse.AbuseRules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Final

from msgspec import Struct

from control_plane.abuse import AbuseRules
from control_plane.admission.abuse.seen import Counts

MAX_MINUTES: Final = 120
"""Minutes that a window reaches back."""

_BASELINE_GAP: Final = 10
_BASELINE_BLOCK: Final = 5


class Window(Struct, frozen=True, kw_only=True):
    """What is known of a client.

    Attributes:
        subject: Whose limits it shares.
        client: Who of the subject.
        minute: The present minute, not yet whole; minutes since 1970.
        since: First minute that may be held against it.
        counts: What it did, by minute; minutes without requests are missing.
        busiest_hour: Requests a minute in the busiest whole hour of the last eight days; 0 if
            that is not kept.
        valid_keys: Different keys taken from this address; 0 of other clients.
        refused_keys: Different keys refused to this address; 0 of other clients.
    """

    subject: str
    client: str
    minute: int
    since: int = 0
    counts: Mapping[int, Counts]
    busiest_hour: float = 0.0
    valid_keys: int = 0
    refused_keys: int = 0

    def last(self, minutes: int) -> Iterable[Counts]:
        """Counts of the last minutes, the present one included, that may be held against it."""
        first = max(self.since, self.minute - minutes + 1)
        return [counts for minute, counts in self.counts.items() if minute >= first]


class Finding(Struct, frozen=True):
    """Something suspicious.

    Attributes:
        rule: Name of the rule.
        evidence: The numbers that it saw.
    """

    rule: str
    evidence: dict[str, float]


def judge(window: Window, rules: AbuseRules) -> list[Finding]:
    """Everything suspicious about a client."""
    if not rules.on:
        return []
    found = [rule(window, rules) for rule in RULES.values()]
    return [finding for finding in found if finding is not None]


def error_share(window: Window, rules: AbuseRules) -> Finding | None:
    """Most requests are wrong; what was over a limit or failed here does not count."""
    rule = rules.errors
    if not rule.on:
        return None
    counts = window.last(rule.minutes)
    wrong = sum(minute.invalid + minute.auth for minute in counts)
    total = wrong + sum(minute.ok for minute in counts)
    if total < rule.least or wrong < rule.share * total:
        return None
    return Finding("errors", {"requests": total, "wrong": wrong, "share": wrong / total})


def rate_jump(window: Window, rules: AbuseRules) -> Finding | None:
    """The last whole minutes are many times the client's own baseline."""
    rule = rules.jump
    first = window.minute - rule.minutes
    if not rule.on or first < window.since:
        return None
    recent = [_requests(window, minute) for minute in range(first, window.minute)]
    rate = fmean(recent)
    if min(recent) < rule.least:
        return None
    past = [minute for minute in window.counts if minute < first - _BASELINE_GAP]
    if len(past) < rule.history:
        return None
    baseline = max(_busiest(window, past), window.busiest_hour)
    if baseline < rule.baseline or rate < rule.times * baseline:
        return None
    return Finding("jump", {"rate": rate, "baseline": baseline})


def many_keys(window: Window, rules: AbuseRules) -> Finding | None:
    """Many different keys came from one address."""
    rule = rules.keys
    guessed = window.refused_keys >= rule.refused
    if not rule.on or not (guessed or window.valid_keys >= rule.valid):
        return None
    return Finding("keys", {"valid": window.valid_keys, "refused": window.refused_keys})


def enumeration(window: Window, rules: AbuseRules) -> Finding | None:
    """The inputs sweep."""
    rule = rules.enumeration
    if not rule.on:
        return None
    counts = window.last(rule.minutes)
    sampled = sum(minute.sampled for minute in counts)
    swept = sum(minute.swept for minute in counts)
    if sampled < rule.least or swept < rule.share * sampled:
        return None
    return Finding("enumeration", {"inputs": sampled, "swept": swept, "share": swept / sampled})


def wordlist(window: Window, rules: AbuseRules) -> Finding | None:
    """The words of the texts hardly ever come again."""
    rule = rules.wordlist
    if not rule.on:
        return None
    counts = window.last(rule.minutes)
    words = sum(minute.words for minute in counts)
    familiar = sum(minute.familiar for minute in counts)
    if words < rule.least or familiar > rule.familiar * words:
        return None
    return Finding("wordlist", {"words": words, "familiar": familiar, "share": familiar / words})


RULES: Final[dict[str, Callable[[Window, AbuseRules], Finding | None]]] = {
    "errors": error_share,
    "jump": rate_jump,
    "keys": many_keys,
    "enumeration": enumeration,
    "wordlist": wordlist,
}
"""Every rule by its name."""


def _requests(window: Window, minute: int) -> int:
    counts = window.counts.get(minute)
    return 0 if counts is None else counts.requests


def _busiest(window: Window, past: list[int]) -> float:
    """Requests a minute in the busiest five minutes that follow each other."""
    requests = [_requests(window, minute) for minute in range(min(past), max(past) + 1)]
    block = min(_BASELINE_BLOCK, len(requests))
    return max(fmean(requests[start : start + block]) for start in range(len(requests) - block + 1))
