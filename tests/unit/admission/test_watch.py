"""What is counted of clients, within which bounds, and which inputs count as a sweep."""

from __future__ import annotations

import random
from typing import Any

import pytest

from control_plane.admission.abuse.probing import MAX_FIELDS, Habits, Signs
from control_plane.admission.abuse.seen import Counts, Outcome
from control_plane.admission.abuse.watch import MAX_BODY, MAX_INPUTS, MAX_PENDING, Batch, Watch

ADDRESS = "192.0.2.1/32"
ROW = {"alcohol": 13.2, "ash": 2.14, "hue": 1.05, "proline": 1050}


def note(watch: Watch, client: str = "k:one", outcome: Outcome = Outcome.OK, **more: Any) -> None:
    watch.note(more.pop("subject", "t:acme"), client, more.pop("network", ADDRESS), outcome, **more)


def counts_of(batch: Batch) -> dict[str, Counts]:
    return {seen.client: seen.counts for seen in batch.seen()}


def studied(watch: Watch, budget_s: float = 60.0, minute: int = 0) -> dict[str, Counts]:
    batch = watch.take(minute)
    for _ in watch.study(batch, budget_s):
        pass
    return counts_of(batch)


def test_each_outcome_is_counted_once_and_taken_once() -> None:
    watch = Watch()
    for outcome in Outcome:
        for _ in range(outcome + 1):
            note(watch, outcome=outcome)
    note(watch, client="k:two")
    assert counts_of(watch.take(0)) == {
        "k:one": Counts(ok=1, invalid=2, auth=3, limited=4, failed=5), "k:two": Counts(ok=1)
    }  # fmt: skip
    assert watch.take(0).seen() == []


def test_a_refused_credential_counts_for_its_address() -> None:
    watch = Watch()
    watch.refused(ADDRESS, "guess")
    watch.refused(ADDRESS, "another")
    note(watch)
    note(watch, client="k:two", network="198.51.100.0/32")
    batch = watch.take(0)
    assert counts_of(batch)[f"a:{ADDRESS}"] == Counts(auth=2)
    spreads = {one.network: (set(one.valid), set(one.refused)) for one in batch.spreads()}
    assert spreads == {
        ADDRESS: ({"k:one"}, {"guess", "another"}), "198.51.100.0/32": ({"k:two"}, set())
    }  # fmt: skip


def test_a_client_on_the_move_is_seen_at_each_address() -> None:
    watch = Watch()
    for network in (ADDRESS, "198.51.100.0/32", ADDRESS):
        note(watch, network=network)
    assert {one.network for one in watch.take(0).spreads()} == {ADDRESS, "198.51.100.0/32"}


def test_anonymous_callers_are_no_keys() -> None:
    watch = Watch()
    note(watch, subject=f"a:{ADDRESS}", client=f"a:{ADDRESS}")
    assert watch.take(0).spreads() == []


def test_clients_beyond_the_bound_are_counted_as_overflow_until_the_next_minute() -> None:
    watch = Watch(max_clients=2)
    for client in ("k:1", "k:2", "k:3", "k:3", "k:1"):
        note(watch, client=client)
    assert (set(counts_of(watch.take(0))), watch.overflow) == ({"k:1", "k:2"}, 2)
    note(watch, client="k:3")
    assert (watch.take(1).seen(), watch.overflow) == ([], 3)
    note(watch, client="k:3")
    assert set(counts_of(watch.take(1))) == {"k:3"}


def test_anonymous_callers_do_not_take_the_place_of_tenants() -> None:
    watch = Watch(max_clients=1)
    for number in range(5):
        note(watch, subject=f"a:{number}", client=f"a:{number}")
    note(watch)
    assert set(counts_of(watch.take(0))) == {"a:0", "k:one"}


def test_only_some_inputs_of_a_client_are_kept() -> None:
    watch = Watch()
    for _ in range(MAX_INPUTS):
        note(watch, inputs=[ROW, ROW], body_bytes=100)
    assert studied(watch)["k:one"] == Counts(ok=MAX_INPUTS, sampled=MAX_INPUTS)


def test_inputs_of_large_bodies_are_not_kept() -> None:
    watch = Watch()
    note(watch, inputs=[ROW], body_bytes=MAX_BODY + 1)
    for number in range(MAX_PENDING // MAX_BODY + 5):
        note(watch, client=f"k:{number}", inputs=[ROW], body_bytes=MAX_BODY)
    counts = studied(watch)
    assert counts["k:one"].sampled == 0
    assert sum(one.sampled for one in counts.values()) == MAX_PENDING // MAX_BODY


def test_beyond_the_budget_inputs_are_let_go_of() -> None:
    watch = Watch()
    note(watch, inputs=[ROW])
    assert studied(watch, budget_s=0.0)["k:one"] == Counts(ok=1)
    assert studied(watch) == {}


def test_what_could_not_be_handed_on_is_counted_with_the_next() -> None:
    watch = Watch()
    note(watch, inputs=[ROW])
    watch.refused(ADDRESS, "guess")
    batch = watch.take(0)
    note(watch)
    note(watch, client="k:two")
    watch.give_back(batch)
    again = watch.take(0)
    assert counts_of(again)["k:one"] == Counts(ok=2)
    assert counts_of(again)[f"a:{ADDRESS}"] == Counts(auth=1)
    assert {guess for one in again.spreads() for guess in one.refused} == {"guess"}


def test_habits_last_from_second_to_second() -> None:
    watch = Watch()
    for step in range(10):
        note(watch, inputs=[ROW | {("ash" if step % 2 else "hue"): 3.01 + step}])
        counts = studied(watch)["k:one"]
    assert counts.swept == 1


def signs(inputs: list[dict[str, Any]]) -> Signs:
    habits = Habits()
    seen = [habits.study(one) for one in inputs]
    return Signs(*(sum(numbers) for numbers in zip(*seen, strict=True)))


def natural(rng: random.Random) -> dict[str, float]:
    return {name: round(rng.gauss(50, 10), 2) for name in ROW}


def test_natural_rows_do_not_sweep() -> None:
    rng = random.Random(1)
    assert signs([natural(rng) for _ in range(300)]).swept < 15


def test_one_value_at_a_time_sweeps() -> None:
    rows = [ROW | {name: 1.5 + step} for name in ROW for step in range(20)]
    assert signs(rows).swept >= 50


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_grid_sweeps(*, shuffle: bool) -> None:
    rows = [ROW | {"ash": 1.1 + a, "hue": 1.1 + h} for a in range(20) for h in range(10)]
    if shuffle:
        random.Random(1).shuffle(rows)
    assert signs(rows).swept >= 140


def test_the_same_again_is_no_sweep() -> None:
    rng = random.Random(1)
    rows = [natural(rng) for _ in range(30)]
    assert signs([ROW] * 200) == Signs(sampled=200)
    assert signs(rows * 10).swept < 15


def test_one_reading_that_drifts_is_no_sweep() -> None:
    rng = random.Random(1)
    assert signs([ROW | {"hue": rng.random()} for _ in range(200)]).swept == 0


def test_few_small_numbers_are_equal_by_chance() -> None:
    rng = random.Random(1)
    rows = [{"sex": rng.randint(1, 2), "children": rng.randint(0, 3)} for _ in range(200)]
    assert signs(rows).swept == 0


STAYING = "the food in this place was really very"


def test_texts_that_differ_in_one_unknown_word_sweep() -> None:
    words = ["".join(random.Random(n).sample("abcdefghij", 6)) for n in range(100)]
    assert signs([{"text": f"{STAYING} {word}"} for word in words]).swept >= 90


def test_a_template_with_some_words_for_its_gaps_is_no_sweep() -> None:
    gaps = [(f"gap{chr(97 + n % 7)}", f"gap{chr(104 + n % 11)}") for n in range(77)]
    assert signs([{"text": f"{STAYING} {one} {other}"} for one, other in gaps]).swept <= 30


def test_texts_that_grow_sweep() -> None:
    words = STAYING.split()
    assert signs([{"text": " ".join(words[:n])} for n in range(1, 9)]).swept == 5


def test_numbers_in_texts_count_as_equal() -> None:
    texts = [{"text": f"Order {number} is late again"} for number in range(100)]
    assert signs(texts) == Signs(sampled=100, words=0)


def test_familiar_words() -> None:
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    random_words = [" ".join("".join(rng.sample(letters, 7)) for _ in range(5)) for _ in range(120)]
    assert signs([{"text": text} for text in random_words])[2:] == (500, 0)
    common = [" ".join(rng.sample(STAYING.split(), 5)) for _ in range(120)]
    _, _, words, familiar = signs([{"text": text} for text in common])
    assert familiar >= 0.8 * words > 0


def test_scripts_without_spaces_count_by_the_character() -> None:
    rng = random.Random(1)
    texts = [{"text": "".join(rng.choices("的一是不了在人有我他", k=20))} for _ in range(60)]
    _, _, words, familiar = signs(texts)
    assert familiar >= 0.7 * words > 0


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": None},
        {"x": True, "y": -1, "z": 10**400, "w": 1e308},
        {"x": {"y": [1, {"z": "text"}]}},
        {"x": [1.5] * 10_000, "y": "word " * 10_000},
        {f"field_{n}": n for n in range(10 * MAX_FIELDS)},
        {"text": "\ud800 \x00 🙂" * 50},
        {"x": float("inf")},
        {"x": float("nan")},
    ],
)
def test_any_decoded_input_can_be_looked_at(inputs: dict[str, Any]) -> None:
    assert signs([inputs, inputs]).sampled == 2
