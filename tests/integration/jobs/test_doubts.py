"""Submissions whose answer was lost: paid if there is a job, refunded once if there is none."""

from __future__ import annotations

import pytest
import redis.asyncio as redis
from redis.exceptions import OutOfMemoryError

from control_plane.errors import TidegateError
from control_plane.jobs import doubts, layout
from control_plane.jobs.doubts import Doubts, is_doubtful
from control_plane.jobs.steps import unavailable
from control_plane.jobs.store import JobStore
from tests.integration.jobs.submissions import asked, kept


def unavailable_by(cause: Exception | None) -> TidegateError:
    try:
        raise unavailable("x") from cause
    except TidegateError as error:
        return error


async def refunds(server: redis.Redis) -> list[tuple[str, int]]:
    entries = await server.xrange(layout.REFUNDS)
    return [(fields[b"job"].decode(), int(fields[b"units"])) for _, fields in entries]


async def test_what_was_kept_stays_paid_and_what_was_not_goes_back(
    store: JobStore, server: redis.Redis
) -> None:
    there, away, free = asked(units=3), asked(units=5), asked(units=0)
    await kept(store, there)
    open_ = Doubts(store, late_s=0)
    assert all(open_.note(each) for each in (there, away, free))
    await open_.settle()
    assert await refunds(server) == [(away.id, 5)]
    await open_.settle()
    assert len(await refunds(server)) == 1


async def test_while_the_server_is_away_the_doubt_stays(
    store: JobStore, server: redis.Redis
) -> None:
    open_, lost = Doubts(store, late_s=0), asked(units=2)
    open_.note(lost)
    await server.config_set("maxmemory", "1")  # a refund cannot be written
    try:
        with pytest.raises(TidegateError):
            await open_.settle()
    finally:
        await server.config_set("maxmemory", "0")
    await open_.settle()
    assert await refunds(server) == [(lost.id, 2)]


async def test_too_many_are_not_taken_up(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "MOST", 1)
    open_ = Doubts(store)
    assert open_.note(asked())
    assert not open_.note(asked())


@pytest.mark.parametrize(
    ("error", "doubtful"),
    [
        (unavailable_by(TimeoutError()), True),
        (unavailable_by(ConnectionResetError()), True),
        (unavailable_by(OutOfMemoryError("OOM")), False),
        (unavailable_by(None), False),
        (TidegateError("x", code="TOO_MANY_JOBS"), False),
        (ValueError(), False),
    ],
)
def test_only_a_lost_answer_leaves_a_doubt(error: BaseException, *, doubtful: bool) -> None:
    assert is_doubtful(error) == doubtful
