"""Models' records on a real server: races, atomic steps, what is audited and told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.errors import AdmissionUnavailable, InvalidParameter, TidegateError
from control_plane.records import places
from control_plane.records.audit import AuditEntry, AuditFilter, AuditLog
from control_plane.records.transaction import SYSTEM, Actor
from control_plane.routing import layout
from control_plane.routing.decisions import endings, lives, rollouts
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.identifiers import rollout_id
from control_plane.routing.seeding import Seen
from control_plane.routing.state import Candidate, EndedRollout, ModelState, Step
from control_plane.routing.store import ModelStore
from control_plane.types import Life
from tests.integration.admission.conftest import counter_process, free_port

ME = Actor("k:aaaaaaaaaaaa", "req_1")
NOW = 1_700_000_000
FILES = {"v1.0.0": Seen("stable"), "v2.0.0": Seen("experimental"), "v3.0.0": Seen("experimental")}
GATES = dict.fromkeys(FILES, Gate(ready=True))
PLAN = Proposal(candidates=(Candidate(version="v2.0.0"),), plan=(Step(weight=1), Step(weight=100)))


def found(_: ModelState | None) -> Mapping[str, Seen]:
    return FILES


def started(
    proposal: Proposal = PLAN, rollout: str | None = None
) -> Callable[[ModelState], Decided]:
    made = rollout or rollout_id(NOW)
    return lambda state: rollouts.start(
        state, proposal, rollout=made, now=NOW, by=ME.who, gates=GATES
    )


def rolled_back(state: ModelState) -> Decided:
    return endings.roll_back(state, "system", None, "It fails", {"failures": 9})


def aliased(name: str) -> Callable[[ModelState], Decided]:
    return lambda state: lives.put_alias(state, name, "v1.0.0")


async def outcome(step: Awaitable[Any]) -> str:
    """``ok``, or the code of the error."""
    try:
        await step
    except TidegateError as error:
        return error.code
    return "ok"


async def audited(records: redis.Redis) -> list[AuditEntry]:
    return (await AuditLog(records).page(AuditFilter(ascending=True), None, 200)).items


@pytest.fixture
async def store(records: redis.Redis) -> ModelStore:
    """A store with the model ``house``, on a clock that stands."""
    made = ModelStore(records, lambda: NOW)
    await made.seen("house", found)
    return made


async def test_a_model_is_first_seen_by_one_of_many(records: redis.Redis) -> None:
    stores = [ModelStore(records, lambda: NOW) for _ in range(8)]
    states = await asyncio.gather(*(each.seen("house", found) for each in stores))
    assert {state.revision for state in states if state is not None} == {1}
    state = await stores[0].model("house")
    assert (state.name, state.stable, state.created_at) == ("house", "v1.0.0", NOW)
    assert [entry.action for entry in await audited(records)] == ["model.seen"]
    assert await stores[0].all() == [state]


async def test_versions_seen_by_processes_with_other_files_are_all_kept(
    records: redis.Redis,
) -> None:
    stores = [ModelStore(records) for _ in range(8)]

    async def see(number: int, store: ModelStore) -> None:
        await store.seen("house", lambda _: {f"v{number}.0.0": Seen("experimental")})

    await asyncio.gather(*(see(number, store) for number, store in enumerate(stores)))
    state = await stores[0].model("house")
    assert list(state.versions) == [f"v{number}.0.0" for number in range(8)]
    assert state.revision == 8


async def test_what_is_seen_is_held_against_the_stable_version_of_that_moment(
    store: ModelStore,
) -> None:
    asked = []

    def compared(state: ModelState | None) -> Mapping[str, Seen]:
        assert state is not None
        asked.append(state.stable)
        return {"v4.0.0": Seen("stable", ("it narrows",) if state.stable == "v1.0.0" else ())}

    state = await store.seen("house", compared, ME)
    assert asked == ["v1.0.0"]
    assert state is not None
    assert state.versions["v4.0.0"].life is Life.EXPERIMENTAL
    assert await store.seen("house", compared, ME) == state


async def test_nothing_found_is_no_model(records: redis.Redis) -> None:
    store = ModelStore(records)
    assert await store.seen("house", lambda _: {}) is None
    assert await outcome(store.model("house")) == "NOT_FOUND"
    assert await outcome(store.model("no such name")) == "NOT_FOUND"
    assert await outcome(store.rollouts("house", None, 10)) == "NOT_FOUND"


async def test_a_change_is_one_audited_step(store: ModelStore, records: redis.Redis) -> None:
    before = await store.model("house")
    after = await store.change("house", aliased("blue"), ME, expected=1)
    assert after == msgspec.structs.replace(before, aliases={"blue": "v1.0.0"}, revision=2)
    assert await store.model("house") == after
    entry = (await audited(records))[-1]
    assert (entry.action, entry.target, entry.who) == ("alias.put", "model:house", ME.who)
    assert (entry.before["revision"], entry.after["revision"]) == (1, 2)
    assert (entry.before["aliases"], entry.after["aliases"]) == ({}, {"blue": "v1.0.0"})


async def test_what_changes_nothing_leaves_no_trace(
    store: ModelStore, records: redis.Redis
) -> None:
    first = await store.change("house", aliased("blue"), ME)
    assert await store.change("house", aliased("blue"), ME) == first
    assert len(await audited(records)) == 2


async def test_no_change_is_lost(store: ModelStore) -> None:
    names = [f"a{number}" for number in range(24)]
    await asyncio.gather(*(store.change("house", aliased(name), ME) for name in names))
    state = await store.model("house")
    assert set(state.aliases) == set(names)
    assert state.revision == 25


async def test_at_one_revision_one_change_is_made(store: ModelStore) -> None:
    steps = (store.change("house", aliased(f"a{n}"), ME, expected=1) for n in range(8))
    assert sorted(await asyncio.gather(*map(outcome, steps))) == ["REVISION_CONFLICT"] * 7 + ["ok"]


async def test_one_of_many_rollouts_starts(store: ModelStore) -> None:
    steps = (store.change("house", started(), ME) for _ in range(8))
    assert sorted(await asyncio.gather(*map(outcome, steps))) == ["LIFE_CONFLICT"] * 7 + ["ok"]


async def test_an_end_is_kept_in_the_same_step(store: ModelStore, records: redis.Redis) -> None:
    made = rollout_id(NOW)
    state = await store.change("house", started(rollout=made), ME)
    await store.change("house", rolled_back, SYSTEM, expected=state.revision)
    ended = await store.rollout(made)
    assert ended == EndedRollout(
        id=made,
        model="house",
        rollout=state.rollout,  # type: ignore[arg-type]
        outcome="rolled_back",
        by="system",
        reason="It fails",
        report={"failures": 9},
        created_at=NOW,
        updated_at=NOW,
    )
    assert (await store.rollouts("house", None, 10)).items == [ended]
    assert (await audited(records))[-1].action == "rollout.roll_back"


async def test_of_a_verdict_and_an_operator_one_ends_the_rollout(store: ModelStore) -> None:
    made = rollout_id(NOW)
    state = await store.change("house", started(rollout=made), ME)
    steps = (
        store.change("house", decide, ME, expected=state.revision)
        for decide in (rolled_back, lambda s: endings.abort(s, ME.who), rolled_back)
    )
    outcomes = await asyncio.gather(*map(outcome, steps))
    assert sorted(outcomes) == ["REVISION_CONFLICT"] * 2 + ["ok"]
    ended, now = await store.rollout(made), await store.model("house")
    marked = bool(now.versions["v2.0.0"].rolled_back)
    assert (ended.outcome == "rolled_back") == marked == (outcomes[1] != "ok")


async def test_an_end_is_undone_by_one_and_comes_again(
    store: ModelStore, records: redis.Redis
) -> None:
    made = rollout_id(NOW)
    await store.change("house", started(rollout=made), ME)
    await store.change("house", rolled_back, SYSTEM)
    outcomes = await asyncio.gather(*(outcome(store.undo(made, ME)) for _ in range(6)))
    assert sorted(outcomes) == ["LIFE_CONFLICT"] * 5 + ["ok"]
    undone, state = await store.rollout(made), await store.model("house")
    assert (undone.undone, undone.revision) == (True, 2)
    assert state.rollout is not None
    assert (state.rollout.id, state.rollout.stage) == (made, "2.0")
    assert (await audited(records))[-1].action == "rollout.undo"
    await store.change("house", rolled_back, SYSTEM)
    again = await store.rollout(made)
    assert (again.undone, again.revision, again.created_at) == (False, 3, NOW)
    assert [former["reason"] for former in again.earlier] == [undone.reason]
    assert len((await store.rollouts("house", None, 10)).items) == 1
    assert await outcome(store.undo(made, ME, expected=1)) == "REVISION_CONFLICT"
    assert await outcome(store.undo(made, ME, expected=3)) == "ok"


async def test_a_candidate_taken_out_is_kept_beside_its_rollout(store: ModelStore) -> None:
    made = rollout_id(NOW)
    two = tuple(Candidate(version=version, weight=10) for version in ("v2.0.0", "v3.0.0"))
    before = await store.change("house", started(Proposal(candidates=two), made), ME)
    await store.change("house", lambda s: endings.roll_back(s, "system", "v2.0.0", "", {}), SYSTEM)
    page = await store.rollouts("house", None, 10)
    assert [ended.id for ended in page.items] == [f"{made}.v2.0.0"]
    after = await store.undo(f"{made}.v2.0.0", ME)
    assert after.rollout is not None
    assert before.rollout is not None
    assert after.rollout.buckets == before.rollout.buckets


async def test_what_does_not_exist_is_not_found(store: ModelStore) -> None:
    for name in ("ro_0123456789abcdef", "nonsense", "ro_0123456789abcdef.v1.0.0"):
        assert await outcome(store.rollout(name)) == "NOT_FOUND"
        assert await outcome(store.undo(name, ME)) == "NOT_FOUND"
    assert await outcome(store.change("another", aliased("blue"), ME)) == "NOT_FOUND"


async def test_lists_come_in_pages(records: redis.Redis) -> None:
    store = ModelStore(records, lambda: NOW)
    names = [f"m{number}" for number in range(5)]
    for name in reversed(names):
        await store.seen(name, found)
    first = await store.models(None, 3)
    second = await store.models(first.next, 3)
    assert [state.name for state in first.items + second.items] == names
    assert second.next is None
    ids = [rollout_id(NOW + number) for number in range(5)]
    for made in ids:
        await store.change("m0", started(rollout=made), ME)
        await store.change("m0", lambda state: endings.abort(state, ME.who), ME)
    page = await store.rollouts("m0", None, 2)
    pages = [ended.id for ended in page.items]
    while page.next:
        page = await store.rollouts("m0", page.next, 2)
        pages += [ended.id for ended in page.items]
    assert pages == ids
    assert (await store.rollouts("m1", None, 2)).items == []
    with pytest.raises(InvalidParameter):
        await store.rollouts("m0", "bm9uc2Vuc2U", 2)


async def test_every_change_is_told(store: ModelStore, records: redis.Redis) -> None:
    channel = records.pubsub()
    await channel.subscribe(places.CHANGES)
    await channel.get_message(timeout=60)
    await store.change("house", aliased("blue"), ME)
    await store.refresh(ME)
    heard: list[str] = []
    while len(heard) < 2:
        message = await channel.get_message(ignore_subscribe_messages=True, timeout=60)
        assert message is not None, heard
        heard.append(message["data"].decode())
    await channel.aclose()  # type: ignore[no-untyped-call]
    assert heard == ["model:house", layout.REPOSITORY_NEWS]


async def test_refreshes_are_counted(records: redis.Redis) -> None:
    store = ModelStore(records)
    assert await store.repository_revision() == 0
    made = await asyncio.gather(*(store.refresh(ME) for _ in range(6)))
    assert sorted(made) == [1, 2, 3, 4, 5, 6]
    assert await store.repository_revision() == 6
    assert {entry.action for entry in await audited(records)} == {"repository.refresh"}


STEPS: dict[str, Callable[[ModelStore], Awaitable[Any]]] = {
    "read": lambda store: store.model("house"),
    "list": lambda store: store.rollouts("house", None, 10),
    "see": lambda store: store.seen("house", found),
    "change": lambda store: store.change("house", aliased("blue"), ME),
    "undo": lambda store: store.undo("ro_0123456789abcdef", ME),
    "refresh": lambda store: store.refresh(ME),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_server_that_is_away_is_503(tmp_path: Path, step: str) -> None:
    port = free_port()
    with counter_process("valkey", tmp_path, port) as server:
        client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
        await client.ping()
        server.kill()
        server.wait()
        with pytest.raises(AdmissionUnavailable):
            await STEPS[step](ModelStore(client))
        await client.aclose()
