"""A report says what its counts say, and bears counts that make no sense."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.judge.fields import bucket_of
from control_plane.routing.shadow import fields
from control_plane.routing.shadow.report import Pair, ShadowReport, read_report

labels = st.text(max_size=64)


def report(**counts: int) -> ShadowReport:
    return read_report({name.encode(): str(n).encode() for name, n in counts.items()})


def pairs(*counted: tuple[str, str, int]) -> ShadowReport:
    return report(**{fields.pair(stable, shadow): n for stable, shadow, n in counted})


def test_agreement_with_its_interval() -> None:
    found = report(compared=200, agreed=190)
    assert found.compared == 200
    assert found.agreement is not None
    assert found.agreement.value == 0.95
    assert 0.90 < found.agreement.low < 0.95 < found.agreement.high < 0.98


def test_errors_and_drops_by_kind() -> None:
    found = report(**{"error|MODEL_FAILED": 3, "error|OVERLOADED": 1, "dropped|pressed": 7})
    assert found.errors == {"MODEL_FAILED": 3, "OVERLOADED": 1}
    assert found.dropped == {"pressed": 7}


def test_confusion_and_shift_of_the_labels() -> None:
    found = pairs(("a", "a", 60), ("b", "b", 20), ("b", "a", 20))
    assert found.confusion[0] == Pair(stable="a", shadow="a", count=60)
    assert found.shift is not None
    assert found.shift.total_variation == pytest.approx(0.2)
    shown = {one.label: (one.stable, one.shadow) for one in found.shift.labels}
    assert shown == {"a": (0.6, 0.8), "b": (0.4, 0.2)}
    exact = 0.2 * math.log(0.8 / 0.6) + 0.2 * math.log(0.4 / 0.2)
    assert found.shift.population_stability_index == pytest.approx(exact, rel=0.05)


def test_a_label_that_one_side_never_says_makes_nothing_infinite() -> None:
    found = pairs(("a", "b", 10))
    assert found.shift is not None
    assert found.shift.total_variation == 1
    assert 0 < found.shift.population_stability_index < 10


def test_the_same_distribution_has_not_shifted_though_the_labels_disagree() -> None:
    found = pairs(("a", "b", 10), ("b", "a", 10))
    assert found.shift is not None
    assert found.shift.total_variation == 0
    assert found.shift.population_stability_index == 0


@given(labels, labels)
def test_any_two_labels_are_told_apart(stable: str, shadow: str) -> None:
    text = fields.pair(stable, shadow).encode(errors="surrogatepass").decode(errors="replace")
    kind, _, rest = text.partition("|")
    assert kind == fields.PAIR
    found = fields.read_pair(rest)
    assert found == (
        stable.encode(errors="surrogatepass").decode(errors="replace"),
        shadow.encode(errors="surrogatepass").decode(errors="replace"),
    )


def test_of_many_labels_the_50_most_frequent_are_shown() -> None:
    found = pairs(*((f"l{n:03}", f"l{n:03}", 1000 - n) for n in range(120)))
    shown = {one.stable for one in found.confusion}
    assert shown == {f"l{n:03}" for n in range(50)} | {None}
    assert sum(one.count for one in found.confusion) == sum(1000 - n for n in range(120))


def test_latencies_by_quantile_and_their_ratio() -> None:
    found = report(
        **{
            f"latency|stable|{bucket_of(0.010)}": 98,
            f"latency|stable|{bucket_of(0.050)}": 2,
            f"latency|shadow|{bucket_of(0.020)}": 98,
            f"latency|shadow|{bucket_of(0.400)}": 2,
        }
    ).latency
    assert found is not None
    assert found.p50.stable_ms == pytest.approx(10, rel=0.1)
    assert found.p50.shadow_ms == pytest.approx(20, rel=0.1)
    assert found.p50.ratio == pytest.approx(2, rel=0.1)
    assert found.p99.stable_ms == pytest.approx(50, rel=0.1)
    assert found.p99.ratio == pytest.approx(8, rel=0.1)


def test_distances_ascend() -> None:
    found = report(**{"distance|20": 1, "distance|0": 5, "distance|3": 2}).distances
    assert [(one.up_to, one.count) for one in found] == [(0.0, 5), (0.15, 2), (1.0, 1)]


@pytest.mark.parametrize(("distance", "place"), [(0, 0), (1e-9, 1), (0.05, 1), (0.051, 2), (1, 20)])
def test_a_bin_holds_its_upper_end(distance: float, place: int) -> None:
    assert fields.bin_of(distance) == place


def test_nothing_counted_is_a_report_too() -> None:
    found = read_report({})
    assert (found.compared, found.agreement, found.shift, found.latency) == (0, None, None, None)


@given(
    st.dictionaries(
        st.binary(max_size=40)
        | st.tuples(
            st.sampled_from(["pair", "latency", "distance", "error", "compared", "agreed"]),
            st.lists(
                st.sampled_from(["", "3", "stable", "-1", "187", "a|b", "9999", "²"]), max_size=4
            ),
        ).map(lambda parts: "|".join([parts[0], *parts[1]]).encode()),
        st.binary(max_size=20) | st.integers(-5, 10**18).map(lambda n: str(n).encode()),
        max_size=30,
    )
)
def test_counts_that_make_no_sense_never_fail(counts: dict[bytes, bytes]) -> None:
    msgspec.json.encode(read_report(counts))
