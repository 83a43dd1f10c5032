"""What a shadow's counts say, for operators: agreement, confusion, shift, latency, errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from control_plane.routing.judge.fields import BUCKETS, bucket_end_s
from control_plane.routing.shadow import fields
from control_plane.routing.shadow.comparing import total_variation
from control_plane.routing.shares import Share, share

MAX_COUNT: Final = 2**53

Count = Annotated[int, Meta(ge=0)]
Label = Annotated[
    str | None, Meta(description="Null stands for all labels beyond the 50 most frequent ones")
]
Milliseconds = Annotated[float, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, description="The shadow's over that of the answers")]


class Pair(Struct, frozen=True, kw_only=True):
    """How often the answer said one label and the shadow another, or the same."""

    stable: Label
    shadow: Label
    count: Count


class LabelShares(Struct, frozen=True, kw_only=True):
    """How often a label was said, as a share of the requests that both answered."""

    label: Label
    stable: Annotated[float, Meta(ge=0, le=1)]
    shadow: Annotated[float, Meta(ge=0, le=1)]


class Shift(Struct, frozen=True, kw_only=True):
    """How far the distribution of the shadow's labels is from that of the answers'."""

    labels: list[LabelShares]
    total_variation: Annotated[
        float, Meta(ge=0, le=1, description="Share of the predictions that are distributed anew")
    ]
    population_stability_index: Annotated[
        float,
        Meta(
            ge=0,
            description="Sum of (p - q) ln(p / q) over the labels; by custom up to 0.1 is little, "
            "above 0.25 much",
        ),
    ]


class Quantiles(Struct, frozen=True, kw_only=True):
    """Latencies as upper ends of buckets that are 8 % apart, of the same requests on both sides."""

    stable_ms: Milliseconds
    shadow_ms: Milliseconds
    ratio: Ratio


class Latencies(Struct, frozen=True, kw_only=True):
    """Median and 99th percentile."""

    p50: Quantiles
    p99: Quantiles


class DistanceBin(Struct, frozen=True, kw_only=True):
    """Requests whose two predictions are so far apart."""

    up_to: Annotated[
        float, Meta(ge=0, le=1, description="Largest distance of the bin; 0.05 from bin to bin")
    ]
    count: Count


class ShadowReport(Struct, frozen=True, kw_only=True):
    """What a shadow and the answers had in common."""

    compared: Annotated[int, Meta(ge=0, description="Requests that both versions answered")]
    agreement: Annotated[
        Share | None, Meta(description="Of the compared those that both said the same on")
    ]
    errors: Annotated[
        dict[str, Count], Meta(description="Requests that the shadow failed on, by code")
    ]
    dropped: Annotated[
        dict[str, Count], Meta(description="Requests that the shadow did not see, by reason")
    ]
    confusion: Annotated[list[Pair], Meta(description="Most frequent pairs first")]
    shift: Annotated[Shift | None, Meta(description="Null where predictions have no labels")]
    distances: Annotated[list[DistanceBin], Meta(description="Bins that are not empty, ascending")]
    latency: Latencies | None


def read_report(counts: Mapping[bytes, bytes]) -> ShadowReport:
    """The report of a hash of counts; what is no count of a shadow's is left out.

    Args:
        counts: Fields as in ``fields.py``, numbers in decimal.
    """
    grouped: dict[str, Counter[str]] = {}
    for name, value in counts.items():
        kind, _, which = name.decode(errors="replace").partition("|")
        grouped.setdefault(kind, Counter())[which] += _number(value)
    compared = grouped.get(fields.COMPARED, Counter())[""]
    pairs = _collapsed(grouped.get(fields.PAIR, Counter()))
    return ShadowReport(
        compared=compared,
        agreement=share(grouped.get(fields.AGREED, Counter())[""], compared),
        errors=dict(sorted(grouped.get(fields.ERROR, Counter()).items())),
        dropped=dict(sorted(grouped.get(fields.DROPPED, Counter()).items())),
        confusion=[
            Pair(stable=stable or None, shadow=shadow or None, count=count)
            for (stable, shadow), count in pairs.most_common()
        ],
        shift=_shift(pairs),
        distances=_distances(grouped.get(fields.DISTANCE, Counter())),
        latency=_latencies(grouped.get(fields.LATENCY, Counter())),
    )


def _number(value: bytes) -> int:
    is_number = value.isdigit() and len(value) <= 16
    return min(int(value), MAX_COUNT) if is_number else 0


def _collapsed(counts: Counter[str]) -> Counter[tuple[str, str]]:
    """Pairs of the 50 most frequent labels; the rest stand together."""
    pairs = {pair: n for text, n in counts.items() if (pair := fields.read_pair(text))}
    frequent = Counter[str]()
    for (stable, shadow), n in pairs.items():
        frequent[stable] += n
        frequent[shadow] += n
    del frequent[fields.OTHER]
    kept = {label for label, _ in frequent.most_common(fields.LABELS)}
    found = Counter[tuple[str, str]]()
    for (stable, shadow), n in pairs.items():
        first = stable if stable in kept else fields.OTHER
        second = shadow if shadow in kept else fields.OTHER
        found[first, second] += n
    return found


def _shift(pairs: Counter[tuple[str, str]]) -> Shift | None:
    total = pairs.total()
    if not total:
        return None
    stable, shadow = Counter[str](), Counter[str]()
    for (first, second), n in pairs.items():
        stable[first] += n
        shadow[second] += n
    labels = sorted(stable.keys() | shadow.keys(), key=lambda label: (-stable[label], label))
    first_shares = {label: stable[label] / total for label in labels}
    second_shares = {label: shadow[label] / total for label in labels}
    return Shift(
        labels=[
            LabelShares(
                label=label or None, stable=first_shares[label], shadow=second_shares[label]
            )
            for label in labels
        ],
        total_variation=total_variation(first_shares, second_shares),
        population_stability_index=_stability([(stable[name], shadow[name]) for name in labels]),
    )


def _stability(counts: list[tuple[int, int]]) -> float:
    """The population stability index: the symmetric divergence of Jeffreys (1946).

    Half a request is added to every label, which else would make it infinite where one side never
    said it.
    """
    total = sum(first for first, _ in counts) + len(counts) / 2
    shares = [((first + 0.5) / total, (second + 0.5) / total) for first, second in counts]
    return math.fsum((p - q) * math.log(p / q) for p, q in shares)


def _distances(counts: Counter[str]) -> list[DistanceBin]:
    found = [
        DistanceBin(up_to=index / fields.DISTANCES, count=n)
        for text, n in counts.items()
        if (index := _index(text, fields.DISTANCES + 1)) is not None
    ]
    return sorted(found, key=lambda each: each.up_to)


def _latencies(counts: Counter[str]) -> Latencies | None:
    sides: dict[str, Counter[int]] = {fields.STABLE: Counter(), fields.SHADOW: Counter()}
    for text, n in counts.items():
        side, _, bucket = text.partition("|")
        index = _index(bucket, BUCKETS)
        if side in sides and index is not None:
            sides[side][index] += n
    if not all(side.total() for side in sides.values()):
        return None
    return Latencies(p50=_quantiles(sides, 0.5), p99=_quantiles(sides, 0.99))


def _quantiles(sides: Mapping[str, Counter[int]], portion: float) -> Quantiles:
    stable = _quantile_s(sides[fields.STABLE], portion)
    shadow = _quantile_s(sides[fields.SHADOW], portion)
    return Quantiles(
        stable_ms=round(stable * 1000, 3), shadow_ms=round(shadow * 1000, 3), ratio=shadow / stable
    )


def _quantile_s(buckets: Counter[int], portion: float) -> float:
    rank, seen = math.ceil(portion * buckets.total()), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return bucket_end_s(bucket)
    raise AssertionError


def _index(text: str, end: int) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        return None
    return int(text) if int(text) < end else None
