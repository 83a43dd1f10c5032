"""Which findings the rules make, what follows from them, and how well they tell abuse apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from control_plane.abuse import AbuseRules, ErrorShare, ManyKeys, RateJump
from control_plane.admission.abuse.rules import Finding, Window, judge
from control_plane.admission.abuse.seen import Counts
from control_plane.admission.abuse.steps import (
    OPERATOR,
    Block,
    held_from,
    is_settled,
    kept_until,
    next_block,
)
from control_plane.environment import InvalidSettings, load_settings
from loadtests.abuse.abusive import ABUSIVE
from loadtests.abuse.normal import NORMAL
from loadtests.abuse.replay import population, replay
from loadtests.abuse.score import overall

RULES = AbuseRules()
NOW = 1000


def window(counts: Mapping[int, Counts], **fields: Any) -> Window:
    return Window(subject="t:acme", client="k:one", minute=NOW, counts=counts, **fields)


def found(counts: Mapping[int, Counts], rules: AbuseRules = RULES, **fields: Any) -> list[str]:
    return [finding.rule for finding in judge(window(counts, **fields), rules)]


def steady(rate: int, minutes: int = 60) -> dict[int, Counts]:
    return {NOW - back: Counts(ok=rate) for back in range(minutes)}


def test_who_did_nothing_is_not_suspicious() -> None:
    assert found({}) == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(ok=40, invalid=60), ["errors"]),
        (Counts(ok=40, auth=60), ["errors"]),
        (Counts(ok=41, invalid=59), []),
        (Counts(ok=39, invalid=60), []),
        (Counts(ok=40, limited=500, failed=500), []),
        (Counts(ok=40, invalid=60, limited=500), ["errors"]),
    ],
)
def test_most_requests_wrong(counts: Counts, expected: list[str]) -> None:
    assert found({NOW: counts}) == expected


def test_errors_of_long_ago_do_not_count() -> None:
    assert found({NOW - 14: Counts(invalid=200)}) == ["errors"]
    assert found({NOW - 15: Counts(invalid=200)}) == []


def test_what_led_to_a_block_is_not_held_against_the_client_again() -> None:
    counts = {NOW - 3: Counts(invalid=200)}
    assert found(counts, since=NOW - 3) == ["errors"]
    assert found(counts, since=NOW - 2) == []


def jump(rate: int, baseline: int, minutes: int = 60) -> dict[int, Counts]:
    return steady(baseline, minutes) | {NOW - back: Counts(ok=rate) for back in (1, 2, 3)}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (jump(400, 40), ["jump"]),
        (jump(399, 40), []),
        (jump(400, 9), []),  # next to nothing is no baseline
        (jump(299, 20), []),  # too little to mind
        (jump(400, 40, 42), []),  # not long enough known
        (steady(400), []),
    ],
)
def test_a_sudden_rate(counts: dict[int, Counts], expected: list[str]) -> None:
    assert found(counts) == expected


def test_a_rate_is_no_jump_before_it_has_lasted() -> None:
    counts = jump(4000, 40)
    assert found(counts | {NOW - 2: Counts(ok=40)}) == []


def test_a_jump_of_before_a_block_is_not_held_against_the_client_again() -> None:
    assert found(jump(400, 40), since=NOW - 3) == ["jump"]
    assert found(jump(400, 40), since=NOW - 2) == []


def test_the_busiest_five_minutes_are_the_baseline_not_the_mean() -> None:
    counts = jump(400, 12) | {NOW - back: Counts(ok=200) for back in range(30, 35)}
    assert found(jump(400, 12)) == ["jump"]
    assert found(counts) == []


def test_what_was_usual_on_earlier_days_is_no_jump() -> None:
    assert found(jump(400, 40), busiest_hour=41.0) == []


def test_minutes_without_requests_belong_to_the_baseline() -> None:
    counts = {minute: counts for minute, counts in jump(400, 44, 100).items() if minute % 2}
    counts |= {NOW - back: Counts(ok=400) for back in (1, 2, 3)}
    assert found(counts) == ["jump"]


@pytest.mark.parametrize(
    ("valid", "refused", "expected"),
    [(0, 20, ["keys"]), (0, 19, []), (100, 0, ["keys"]), (99, 19, [])],
)
def test_many_keys(valid: int, refused: int, expected: list[str]) -> None:
    assert found({}, valid_keys=valid, refused_keys=refused) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(sampled=200, swept=80), ["enumeration"]),
        (Counts(sampled=200, swept=79), []),
        (Counts(sampled=199, swept=199), []),
        (Counts(words=300, familiar=30), ["wordlist"]),
        (Counts(words=300, familiar=31), []),
        (Counts(words=299), []),
    ],
)
def test_inputs_that_enumerate(counts: Counts, expected: list[str]) -> None:
    assert found({NOW - 30: counts}) == expected


def test_a_rule_can_be_left_out_and_all_of_them() -> None:
    counts = {NOW: Counts(invalid=500)}
    assert found(counts, AbuseRules(errors=ErrorShare(on=False))) == []
    assert found(counts, AbuseRules(on=False)) == []
    assert found(jump(400, 40), AbuseRules(jump=RateJump(on=False))) == []
    assert found({}, AbuseRules(keys=ManyKeys(on=False)), refused_keys=99) == []


def block(**fields: Any) -> Block:
    given = {"subject": "t:acme", "client": "k:one", "level": "soft", "rule": "errors",
             "reason": "r", "since": 0, "until": 900, "by": "rule:errors"}  # fmt: skip
    return msgspec.convert(given | fields, Block)


FINDINGS = [Finding("jump", {"rate": 400.00001})]


def step(previous: Block | None, now: int) -> Block:
    return next_block("t:acme", "k:one", FINDINGS, previous, RULES, now)


def test_the_first_block_is_soft_and_says_why() -> None:
    made = step(None, 5000)
    assert (made.level, made.since, made.until, made.offences) == ("soft", 5000, 5900, 1)
    assert (made.rule, made.by, made.evidence) == ("jump", "rule:jump", {"rate": 400.0})
    assert made.reason


def test_then_hard_ones_each_twice_as_long_up_to_a_day() -> None:
    lengths = []
    previous, now = step(None, 0), 200
    for _ in range(10):
        previous = step(previous, now)
        assert previous.level == "hard"
        lengths.append(previous.until - previous.since)
        now = previous.until
    assert lengths == [900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400, 86_400]


def test_who_behaves_is_forgiven_one_block_a_day() -> None:
    previous = block(offences=2)
    assert step(previous, 900 + 86_399).offences == 3
    assert step(previous, 900 + 86_400).offences == 2
    forgiven = step(previous, 900 + 2 * 86_400)
    assert (forgiven.level, forgiven.offences) == ("soft", 1)
    assert kept_until(previous, 86_400) == 900 + 2 * 86_400


def test_a_lifted_block_counts_no_more() -> None:
    assert step(block(offences=0), 1000).level == "soft"


def test_the_grace_after_a_block_begins() -> None:
    assert held_from(None, RULES) == 0
    assert held_from(block(since=600), RULES) == 12
    assert held_from(block(since=601), RULES) == 13


@pytest.mark.parametrize(
    ("previous", "settled"),
    [
        (None, False),
        (block(), False),
        (block(level="hard"), True),
        (block(rule=OPERATOR), True),
        (block(level="hard", until=500), False),
    ],
)
def test_nobody_is_judged_under_a_hard_or_an_operators_block(
    previous: Block | None, *, settled: bool
) -> None:
    assert is_settled(previous, 500) is settled


def test_the_word_for_the_script() -> None:
    assert block(level="hard", until=1_800_000_000).packed == "hard;1800000000000000"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"errors": {"share": 2}}', "$.errors.share"),
        ('{"errors": {"shares": 0.5}}', "shares"),
        ('{"hard_s": 9}', "$.hard_s"),
        ("{", "JSON"),
    ],
)
def test_rules_out_of_range_are_refused_at_the_start(text: str, complaint: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load_settings({"TIDEGATE_ABUSE_RULES": text})
    about = [line for line in refused.value.problems if line.startswith("TIDEGATE_ABUSE_RULES")]
    assert len(about) == 1
    assert complaint in about[0]


def test_rules_tell_abuse_apart_on_a_labelled_replay() -> None:
    """The first 25 minutes of one actor of each kind; ``python -m loadtests.abuse`` has it all."""
    score = overall(population((*NORMAL, *ABUSIVE), RULES, seed=3, each=1, minutes=25))
    assert score.precision >= 0.8
    assert score.recall >= 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sudden 20-fold rate", {"jump"}), ("nightly bulk job", set()), ("first bulk job", set())],
)
def test_a_jump_on_the_replay(name: str, expected: set[str]) -> None:
    actor = next(actor for actor in (*NORMAL, *ABUSIVE) if actor.name == name)
    assert replay(actor, RULES, seed=3).rules == expected
