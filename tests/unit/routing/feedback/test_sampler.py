"""The sample is bounded by the second, by the tenant and by what waits."""

from __future__ import annotations

from collections import Counter

import pytest
import redis.asyncio as redis
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.feedback.kept import Kept, Placed, decode_kept, encode_kept
from control_plane.routing.feedback.sampler import WINDOWS_KEPT, Sampler
from control_plane.routing.judge.fields import Side

TENANTS = ("acme", "other", "third")
KEPT = Kept("wine", "v1.0.0", "good")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def sampler(clock: Clock, per_second: int) -> Sampler:
    return Sampler(redis.Redis(), per_second, 3600, clock)


@given(
    st.integers(0, 20),
    st.lists(
        st.tuples(st.sampled_from(["acme", "other", "third"]), st.floats(0, 0.5)), max_size=80
    ),
)
def test_no_second_and_no_tenant_gets_more_than_its_share(
    per_second: int, calls: list[tuple[str, float]]
) -> None:
    clock = Clock()
    one = sampler(clock, per_second)
    taken = Counter[int]()
    of_tenant = Counter[tuple[int, str]]()
    for number, (tenant, pause) in enumerate(calls):
        clock.now += pause
        had_room = one.has_room(tenant)
        assert one.offer(tenant, f"req_{number}", KEPT) == had_room
        if had_room:
            taken[int(clock.now)] += 1
            of_tenant[int(clock.now), tenant] += 1
    assert max(taken.values(), default=0) <= per_second
    assert max(of_tenant.values(), default=0) <= max(1, per_second // 2)
    assert one.pending == taken.total() <= WINDOWS_KEPT * per_second


def test_a_busy_tenant_leaves_room_for_the_others() -> None:
    one = sampler(Clock(), 20)
    busy = [one.offer("acme", f"req_{number}", KEPT) for number in range(1000)]
    quiet = [one.offer("other", f"req_o{number}", KEPT) for number in range(1000)]
    assert (sum(busy), sum(quiet)) == (10, 10)


def test_the_next_second_begins_anew() -> None:
    clock = Clock()
    one = sampler(clock, 2)
    assert [one.offer("acme", "req_1", KEPT) for _ in range(3)] == [True, False, False]
    clock.now += 1
    assert one.offer("acme", "req_2", KEPT)


def test_what_is_not_written_does_not_pile_up() -> None:
    clock = Clock()
    one = sampler(clock, 4)
    for second in range(100):
        clock.now += 1
        for tenant in ("acme", "other"):
            for number in range(5):
                one.offer(tenant, f"req_{second}_{number}", KEPT)
    assert one.pending == WINDOWS_KEPT * 4


def test_callers_without_a_tenant_and_a_rate_of_0_are_not_kept() -> None:
    assert not sampler(Clock(), 20).offer("", "req_1", KEPT)
    assert not sampler(Clock(), 0).offer("acme", "req_1", KEPT)


@pytest.mark.parametrize("placed", [None, Placed("ro_1", "1.0", "control", Side.CONTROL, 63)])
def test_what_is_kept_is_read_again(placed: Placed | None) -> None:
    kept = Kept("wine", "v1.0.0", "good", placed)
    assert decode_kept(encode_kept(kept)) == kept
