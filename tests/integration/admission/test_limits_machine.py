"""Any order of demands, reports, repetitions and lapses: the script agrees with a plain model."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest
import redis
from hypothesis import settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.ledger import WITHDRAWN, Demand, Entry, Ledger, Report, Verdict
from control_plane.admission.limits.link import Link
from tests.integration.admission.accounts import Accounts

SUBJECT = "t:machine"
CLIENTS = strategies.sampled_from(["k:one", "k:two"])
LIMITS = strategies.builds(
    Limits,
    requests=strategies.sampled_from([1, 7, 1000, 1_000_000]),
    window_s=strategies.sampled_from([1, 60]),
    burst=strategies.sampled_from([1, 10, 300, 5000]),
    concurrency=strategies.sampled_from([1, 8, 2000]),
    month_units=strategies.sampled_from([None, 0, 40, 10_000]),
    day_units=strategies.sampled_from([None, 25]),
    overage=strategies.sampled_from(["block", "bill"]),
)
DEMANDS = strategies.builds(
    Demand,
    permit=strategies.just(""),
    client=CLIENTS,
    wanted=strategies.sampled_from([0, 1, 2, 5, 12, 90, 280]),
    ahead=strategies.sampled_from([0, 0, 1, 16]),
    cost=strategies.sampled_from([0, 1, 1, 3]),
    units=strategies.sampled_from([0, 1, 5]),
    slot=strategies.sampled_from([0, 1, 1]),
    ttl_ms=strategies.sampled_from([3, 60_000, 60_000]),
    offence=strategies.sampled_from([0, 0, 0, 1000, 9000]),
    owed=strategies.sampled_from([0, 0, 0, 0, 1]),
)


class Machine(RuleBasedStateMachine):
    """One subject of one server."""

    url = ""
    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        self.client.flushall()
        self.runner = asyncio.Runner()
        self.link = Link(self.url)
        self.ledger = self.runner.run(self._ledger())
        self.model = Accounts()
        self.told: dict[str, Report] = {}
        self.count = 0
        self.last: Entry | None = None
        self.now = int(time.time() * 1e6)

    async def _ledger(self) -> Ledger:
        return Ledger(self.link)

    def teardown(self) -> None:
        self.runner.run(self._close())
        self.runner.close()
        self.client.close()

    async def _close(self) -> None:
        self.link.close()
        await asyncio.sleep(0)

    @initialize(limits=LIMITS)
    def begin(self, limits: Limits) -> None:
        self.limits = limits

    @rule(limits=LIMITS)
    def another_tier(self, limits: Limits) -> None:
        self.limits = limits

    @rule(target=permits, demands=strategies.lists(DEMANDS, min_size=1, max_size=3))
    def ask(self, demands: list[Demand]) -> Any:
        named = []
        for demand in demands:
            self.count += 1
            named.append(Demand(f"p{self.count}", *self._fields(demand)[1:]))
        self._send(Entry(SUBJECT, self.limits, [], named))
        return multiple(*[demand.permit for demand in named])

    @rule(
        permit=permits,
        used=strategies.sampled_from([0, 1, 3, 300]),
        settled=strategies.sampled_from([0, 1, 3, 300]),
        paid=strategies.sampled_from([0, 1, 2, 300]),
        returned=strategies.sampled_from([0, 1, 3]),
    )
    def tell(self, permit: str, used: int, settled: int, paid: int, returned: int) -> None:
        """A report that a process could make: nothing settled that never began."""
        held = self.model.permits.get(permit)
        if held is None:
            return
        used = min(held.used + used, held.granted - held.returned)
        settled = min(held.settled + settled, used)
        confirmed = held.confirmed + min(paid, settled - held.settled)
        returned = min(held.returned + returned, held.granted - used)
        ended = settled - held.settled
        report = Report(
            permit, used, settled, confirmed, returned, f"{held.client}|wine|v1.0.0",
            ended, ended - (confirmed - held.confirmed), ended * 7,
        )  # fmt: skip
        self._send(Entry(SUBJECT, self.limits, [report], []))

    @rule(permit=permits)
    def withdraw(self, permit: str) -> None:
        """The answer to a demand was lost, and nobody began anything."""
        held = self.model.permits.get(permit)
        if held is not None and not held.settled + held.returned:
            field = f"{held.client}|wine|v1.0.0"
            report = Report(permit, 0, 0, 0, WITHDRAWN, field, 0, 0, 0)
            self._send(Entry(SUBJECT, self.limits, [report], []))
            assert permit not in self.model.permits

    @rule()
    def repeat(self) -> None:
        """The reply was lost: the same call again."""
        if self.last is not None:
            self._send(Entry(SUBJECT, self.last.limits, self.last.reports, self.last.demands),
                       repeated=True)  # fmt: skip

    @rule(milliseconds=strategies.sampled_from([1, 4, 15]))
    def wait(self, milliseconds: int) -> None:
        time.sleep(milliseconds / 1000)

    @rule(
        whom=strategies.sampled_from(["", "k:one"]),
        level=strategies.sampled_from(["soft", "hard"]),
        milliseconds=strategies.sampled_from([10, 60_000]),
    )
    def block(self, whom: str, level: str, milliseconds: int) -> None:
        until = self.now + milliseconds * 1000
        name = f"b:{whom}" if whom else "block"
        self.client.hset(layout.state(SUBJECT), name, f"{level};{until}")
        self.model.blocks[whom] = (level, until)

    @rule(whom=strategies.sampled_from(["", "k:one"]))
    def lift(self, whom: str) -> None:
        self.client.hdel(layout.state(SUBJECT), f"b:{whom}" if whom else "block")
        self.model.blocks.pop(whom, None)

    @invariant()
    def totals_agree(self) -> None:
        """What the script keeps as running totals is the sum over its own permits and usage."""
        state = self.client.hgetall(layout.state(SUBJECT))
        if "day" not in state:
            return
        slots = held = reserved = 0
        for packed in self.client.hgetall(layout.permits(SUBJECT)).values():
            granted, used, settled, returned, _, cost, units, _, is_open, slot = (
                int(number) for number in packed.split(";")
            )
            if is_open:
                slots += (granted - settled - returned) * slot
                held += (granted - used - returned) * cost
                reserved += (granted - settled - returned) * units
        usage = self.client.hgetall(layout.usage(SUBJECT, state["day"]))
        paid = sum(int(number) for name, number in usage.items() if name.endswith("|u"))
        assert int(state["slots"]) == slots
        assert int(state["held"]) == held
        assert int(state["mu"]) == int(state["du"]) == paid + reserved
        for measure in "urec":
            counted = sum(int(n) for name, n in usage.items() if name.endswith(f"|{measure}"))
            assert counted == self.model.usage[measure]

    def _send(self, entry: Entry, *, repeated: bool = False) -> None:
        verdict = self.runner.run(self._ask(entry, repeated=repeated))
        self.last = entry
        self.now = verdict.standing.now_us
        self._compare(entry, verdict, repeated=repeated)

    async def _ask(self, entry: Entry, *, repeated: bool) -> Verdict:
        verdict = (await self.ledger.ask([entry], repeated=repeated))[0]
        assert isinstance(verdict, Verdict)
        return verdict

    def _compare(self, entry: Entry, verdict: Verdict, *, repeated: bool) -> None:
        now, model = verdict.standing.now_us, self.model
        model.lapse(now)
        paid: dict[str, int] = {}
        for report in entry.reports:
            client = report.field.partition("|")[0]
            paid[client] = paid.get(client, 0) + model.report(report, now, entry.limits)
        now_ms = math.floor(now / 1000)
        clients = {*paid, *(demand.client for demand in entry.demands)}
        for client in clients:
            model.penalty(client, now_ms, paid.get(client, 0))
        expected = [
            model.demand(demand, now, entry.limits, repeated=repeated) for demand in entry.demands
        ]
        for client in clients:
            model.settle(client, now_ms)
        assert [(g.now, g.ahead, g.reason) for g in verdict.granted] == expected
        model.tat = round(model.tat, 3)
        assert verdict.standing.held == model.held
        assert verdict.standing.month_used == model.units
        assert verdict.standing.wait_us == pytest.approx(max(0, model.tat - now), abs=2)
        assert int(self.client.hget(layout.state(SUBJECT), "slots")) == model.slots

    @staticmethod
    def _fields(demand: Demand) -> list[Any]:
        return [getattr(demand, name) for name in Demand.__struct_fields__]


def test_the_script_does_what_the_model_says(redis_url: str) -> None:
    machine = type("Machine", (Machine,), {"url": redis_url})
    examples = settings.default.max_examples
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(max_examples=examples, stateful_step_count=40)
    )
