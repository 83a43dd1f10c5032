"""Whatever is asked for in whatever order, a model stays in a state that makes sense."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control_plane.errors import TidegateError
from control_plane.routing.decisions import endings, lives, rollouts
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.decisions.undoing import undo
from control_plane.routing.seeding import Seen, seen
from control_plane.routing.split import bucket_count
from control_plane.routing.state import BUCKETS, Candidate, EndedRollout, ModelState, Rollout, Step
from control_plane.types import Life, Version

VERSIONS = [f"v{major}.{minor}.0" for major in (1, 2, 3) for minor in (0, 1)]
BREAKING = ({"where": "/inputs/text"},)

Act = Callable[[ModelState, str, int], Decided]
LIFE_CHANGES: list[Act] = [
    lambda s, version, now: lives.deprecate(s, version, now, now + 40),
    lives.deprecate,
    lives.retire,
    lives.revive,
    lambda s, _, now: lives.sunsets_passed(s, now),
    lambda s, version, _: lives.set_loaded(s, version, loaded=True),
    lambda s, version, _: lives.set_loaded(s, version, loaded=False),
]

versions = st.sampled_from(VERSIONS)
percents = st.sampled_from([0.0, 0.1, 1.0, 10.0, 33.3, 50.0, 60.0, 100.0, 0.05])
gates = st.builds(
    Gate,
    ready=st.sampled_from([True] * 9 + [False]),
    changes=st.sampled_from([()] * 9 + [BREAKING]),
    allow_breaking=st.booleans(),
)
weights = st.sampled_from([0.0, 0.1, 1.0, 10.0, 33.3, 50.0])
plans = st.lists(
    st.builds(Step, weight=st.sampled_from([0.0, 0.1, 1.0, 10.0, 60.0, 100.0]), shadow=weights),
    min_size=1,
    max_size=4,
).map(lambda steps: tuple(sorted(steps, key=lambda step: step.weight)))


class AModel(RuleBasedStateMachine):
    """One model, its ended rollouts, and a clock that only goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ModelState(name="house")
        self.ended: dict[str, EndedRollout] = {}
        self.now = 1_000
        self.started = 0
        self.stages: set[tuple[str, str]] = set()

    @initialize(
        statuses=st.lists(st.sampled_from(["experimental", "stable"]), min_size=4, max_size=4)
    )
    def first_seen(self, statuses: list[str]) -> None:
        found = {
            v: Seen(status) for v, status in zip(VERSIONS, ["stable", *statuses], strict=False)
        }  # type: ignore[arg-type]
        state = seen("house", None, found, self.now)
        assert state is not None
        self.state = state

    @rule(version=versions, is_stable=st.booleans(), breaks=st.booleans())
    def a_version_appears(self, version: str, *, is_stable: bool, breaks: bool) -> None:
        status = "stable" if is_stable else "experimental"
        found = {version: Seen(status, ("it breaks",) if breaks else ())}  # type: ignore[arg-type]
        self.state = seen("house", self.state, found, self.now) or self.state

    @rule(version=versions, gate=gates)
    def promote(self, version: str, gate: Gate) -> None:
        self.decide(lambda s: lives.promote(s, version, self.now, gate))

    @rule(act=st.sampled_from(LIFE_CHANGES), version=versions)
    def change_a_life(self, act: Act, version: str) -> None:
        self.decide(lambda s: act(s, version, self.now))

    @rule(is_put=st.booleans(), alias=st.sampled_from(["blue", "stable"]), version=versions)
    def change_an_alias(self, alias: str, version: str, *, is_put: bool) -> None:
        put, delete = lives.put_alias, lives.delete_alias
        self.decide(lambda s: put(s, alias, version) if is_put else delete(s, alias))

    @rule(
        tried=st.dictionaries(versions, weights, min_size=1, max_size=4),
        shadow=weights,
        again=st.booleans(),
        gate=gates,
    )
    def start(self, tried: dict[str, float], shadow: float, gate: Gate, *, again: bool) -> None:
        named = self.without_the_stable_one(tried)
        asked = tuple(Candidate(version=v, weight=tried[v], shadow=shadow) for v in named)
        self.begin(Proposal(candidates=asked, again=again), gate)

    @rule(version=versions, plan=plans, again=st.booleans(), gate=gates)
    def start_plan(self, version: str, plan: tuple[Step, ...], gate: Gate, *, again: bool) -> None:
        only = Candidate(version=version)
        self.begin(Proposal(candidates=(only,), plan=plan, again=again), gate)

    def without_the_stable_one(self, tried: dict[str, float]) -> list[str]:
        """Versions as named, or without what would only be refused, two times of three."""
        usable = [version for version in tried if version != self.state.stable]
        return usable if usable and self.now % 3 else list(tried)

    def begin(self, proposal: Proposal, gate: Gate) -> None:
        self.started += 1
        made = f"ro_{self.started:016}"
        passes = dict.fromkeys(VERSIONS, gate)
        self.decide(
            lambda s: rollouts.start(
                s, proposal, rollout=made, now=self.now, by="k:x", gates=passes
            )
        )

    @rule(weights=st.dictionaries(versions, percents, min_size=1, max_size=2), gate=gates)
    def set_weights(self, weights: dict[str, float], gate: Gate) -> None:
        passes = dict.fromkeys(VERSIONS, gate)
        self.decide(lambda s: rollouts.set_weights(s, weights, self.now, passes))

    @rule(act=st.sampled_from([rollouts.pause, rollouts.resume, rollouts.resume]))
    def pause_or_resume(self, act: Callable[[ModelState, int], Decided]) -> None:
        self.decide(lambda s: act(s, self.now))

    @rule()
    def advance(self) -> None:
        self.decide(lambda s: endings.advance(s, self.now, "system"))

    @rule(version=st.none() | versions)
    def promote_candidate(self, version: str | None) -> None:
        self.decide(lambda s: endings.promote(s, self.now, "k:x", version))

    @rule()
    def abort(self) -> None:
        self.decide(lambda s: endings.abort(s, "k:x"))

    @rule(version=st.none() | versions)
    def roll_back(self, version: str | None) -> None:
        self.decide(lambda s: endings.roll_back(s, "system", version, "why", {"n": 1}))

    @rule(place=st.integers(0, 20))
    def undo(self, place: int) -> None:
        if self.ended:
            ended = list(self.ended.values())[place % len(self.ended)]
            self.decide(lambda s: undo(s, ended, self.now))

    def decide(self, decide: Callable[[ModelState], Decided]) -> None:
        """Take the decision seven seconds later, or find everything as it was."""
        self.now += 7
        before, written = self.state, msgspec.json.encode(self.state)
        try:
            decided = decide(self.state)
        except TidegateError:
            assert msgspec.json.encode(before) == written
            return
        assert msgspec.json.encode(before) == written
        if before.rollout is not None and decided.state.rollout is not None:
            _moves_no_more_than_it_must(before.rollout, decided.state.rollout)
        if decided.ended is not None:
            assert msgspec.json.decode(
                msgspec.json.encode(decided.ended), type=EndedRollout
            ) == decided.ended  # fmt: skip
            self.ended[decided.ended.id] = decided.ended
        self._begins_no_stage_twice(before.rollout, decided.state.rollout)
        self.state = decided.state

    def _begins_no_stage_twice(self, before: Rollout | None, after: Rollout | None) -> None:
        if after is None or (before is not None and before.stage == after.stage):
            return
        assert (after.id, after.stage) not in self.stages
        self.stages.add((after.id, after.stage))

    @invariant()
    def the_stable_version_can_be_trusted(self) -> None:
        if self.state.stable is not None:
            stands = self.state.versions[self.state.stable]
            assert stands.life is Life.STABLE
            assert not stands.rolled_back
            assert stands.loaded

    @invariant()
    def a_retired_version_is_not_loaded_and_has_no_part(self) -> None:
        for version, stands in self.state.versions.items():
            if stands.life is Life.RETIRED:
                assert not stands.loaded
                assert self.state.rollout is None or version not in _parts(self.state.rollout)

    @invariant()
    def only_deprecated_versions_have_a_sunset_before_them(self) -> None:
        for stands in self.state.versions.values():
            if stands.life in {Life.STABLE, Life.EXPERIMENTAL}:
                assert (stands.sunset_at, stands.deprecated_at, stands.info) == (0, 0, "")

    @invariant()
    def a_rollout_compares_with_the_stable_version_on_buckets_of_its_own(self) -> None:
        rollout = self.state.rollout
        if rollout is None:
            return
        assert rollout.stable == self.state.stable
        assert rollout.candidates
        assert all(self.state.versions[version].loaded for version in _parts(rollout))
        owners = _owners(rollout)
        for candidate in rollout.candidates:
            count = sum(owner == candidate.version for owner in owners.values())
            assert count == bucket_count(candidate.weight)
        assert set(owners.values()) <= {c.version for c in rollout.candidates} | {"control"}
        assert not (rollout.control and rollout.control_stage)
        assert rollout.paused == bool(rollout.paused_at)
        assert rollout.step_since <= self.now

    @invariant()
    def records_survive_being_written(self) -> None:
        written = msgspec.json.encode(self.state)
        assert msgspec.json.decode(written, type=ModelState) == self.state

    @invariant()
    def versions_are_in_order(self) -> None:
        parsed = [Version.parse(version) for version in self.state.versions]
        assert all(first < second for first, second in pairwise(parsed))


def _parts(rollout: Rollout) -> set[str]:
    return {rollout.stable, *(candidate.version for candidate in rollout.candidates)}


def _owners(rollout: Rollout) -> dict[int, str]:
    """Who has which bucket; no bucket has two."""
    owners: dict[int, str] = {}
    for owner, ranges in [*rollout.buckets.items(), ("control", rollout.control)]:
        for first, end in ranges:
            assert 0 <= first < end <= BUCKETS
            for bucket in range(first, end):
                assert bucket not in owners
                owners[bucket] = owner
    return owners


def _moves_no_more_than_it_must(before: Rollout, after: Rollout) -> None:
    """A candidate that grows keeps all its buckets, one that shrinks gets none."""
    was, now = _owners(before), _owners(after)
    for candidate in after.candidates:
        version = candidate.version
        own_before = {bucket for bucket, owner in was.items() if owner == version}
        own_after = {bucket for bucket, owner in now.items() if owner == version}
        assert own_before <= own_after or own_after <= own_before


TestAModel = AModel.TestCase
TestAModel.settings = settings(max_examples=150, stateful_step_count=60)
