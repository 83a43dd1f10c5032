"""What workers make of jobs, with the models made for tests on a real Triton."""

from __future__ import annotations

import asyncio
import time

import httpx

from control_plane.jobs.shapes import State, Task
from tests.integration.jobs.workers import Queue, unique
from tests.integration.test_cancellation import Journal
from tests.stack import Triton


async def test_a_prediction_comes_out_as_the_synchronous_answer(worked: Queue) -> None:
    one = await worked.submit("picky", {"text": "lovely"})
    two = await worked.submit("picky", {"text": "lovely"}, major=2)
    assert (await worked.ended(one)).state is State.COMPLETED
    assert await worked.result(one) == {
        "prediction": 6.0,
        "model": "picky",
        "model_version": "v1.0.0",
        "request_id": "req_of_the_submission",
    }
    ended = await worked.ended(two)
    assert (ended.progress, ended.attempts) == (100, 1)
    structured = await worked.result(two)
    assert structured["data"]["prediction"] == 6.0
    assert structured["model"] == {"name": "picky", "version": "v1.0.0", "rollout": None}


async def test_each_item_of_a_batch_has_its_result_or_its_error(worked: Queue) -> None:
    inputs = [{"text": "a"}, {"text": 5}, {"text": "poison"}, {"text": "four"}, {}]
    job = await worked.submit("picky", inputs, Task.BATCH, units=50)
    ended = await worked.ended(job)
    assert (ended.state, ended.units, ended.refunded) == (State.COMPLETED, 50, 30)
    told = await worked.result(job)
    assert [item["index"] for item in told["results"]] == [0, 1, 2, 3, 4]
    assert [item.get("prediction") for item in told["results"]] == [1.0, None, None, 4.0, None]
    errors = [item.get("error") for item in told["results"]]
    assert [error and error["code"] for error in errors] == [
        None, "INVALID_INPUT", "INVALID_INPUT", None, "INVALID_INPUT",
    ]  # fmt: skip
    assert errors[1]["details"]["field"] == "inputs[1].text"
    assert errors[2]["details"]["path"] == "/inputs/2"
    assert told["summary"] == {
        "total": 5, "succeeded": 2, "failed": 3, "errors": {"INVALID_INPUT": 3},
    }  # fmt: skip


async def test_one_bad_item_fails_a_batch_that_asks_for_all(worked: Queue) -> None:
    inputs = [{"text": "a"}, {"text": "b"}, {"text": 5}]
    options = {"return_errors": "all"}
    job = await worked.submit("picky", inputs, Task.BATCH, units=3, options=options)
    ended = await worked.ended(job)
    assert (ended.state, ended.error_code, ended.refunded) == (State.FAILED, "INVALID_INPUT", 3)
    error = (await worked.result(job))["error"]
    assert error["details"]["path"] == "/inputs/2/text"
    assert error["request_id"] == "req_of_the_submission"


async def test_the_progress_of_a_batch_comes_from_its_items(worked: Queue) -> None:
    inputs = [{"ms": 250, "label": unique()} for _ in range(12)]
    job = await worked.submit("sleeper", inputs, Task.BATCH)
    seen = await worked.becomes(job, lambda job: 0 < job.progress < 100)
    assert seen.state is State.PROCESSING
    assert (await worked.ended(job)).progress == 100
    assert (await worked.result(job))["summary"]["succeeded"] == 12


async def test_more_inputs_than_a_slow_model_takes_in_its_deadline_all_come_out(
    worked: Queue,
) -> None:
    """Twenty of 0.3 s, one at a time, with a deadline of 3 s."""
    jobs = [
        await worked.submit("sleeper", {"ms": 300, "label": unique(), "poll": False})
        for _ in range(20)
    ]
    ends = [await worked.ended(job) for job in jobs]
    assert {(end.state, end.attempts) for end in ends} == {(State.COMPLETED, 1)}


async def test_a_cancellation_reaches_triton(worked: Queue, journal: Journal) -> None:
    label = unique()
    job = await worked.submit("sleeper", {"ms": 30_000, "label": label, "poll": True})
    assert await asyncio.to_thread(journal.waits_for, "started", label)
    canceled_at = time.monotonic()
    await worked.store.cancel("acme", job)
    assert await asyncio.to_thread(journal.waits_for, "cancelled", label)
    assert time.monotonic() - canceled_at < 10, "only the next sign of life, after 20 s, told it"
    assert not journal.has("ended", label)
    assert (await worked.ended(job)).state is State.CANCELED


async def test_an_expired_job_is_left_too(worked: Queue, journal: Journal) -> None:
    label = unique()
    inputs = {"ms": 30_000, "label": label, "poll": True}
    job = await worked.submit("sleeper", inputs, units=7, cancel_after_ms=700)
    assert await asyncio.to_thread(journal.waits_for, "started", label)
    assert await asyncio.to_thread(journal.waits_for, "cancelled", label)
    ended = await worked.ended(job)
    assert (ended.state, ended.refunded) == (State.EXPIRED, 7)


async def test_a_large_result_lies_sealed_in_the_object_store(worked: Queue) -> None:
    inputs = [{"text": "x"} for _ in range(60)]
    job = await worked.submit("picky", inputs, Task.BATCH)
    assert (await worked.ended(job)).state is State.COMPLETED
    kept = await worked.store.result(job)
    assert kept is not None
    assert (kept.sealed, kept.object_key) == ("", f"results/acme/{job}/1")
    assert b"results" not in (worked.folder / kept.object_key).read_bytes()
    assert (await worked.result(job))["summary"]["succeeded"] == 60


async def test_a_model_that_is_away_for_a_while_is_tried_again(
    worked: Queue, lab_triton: Triton
) -> None:
    def repository(step: str) -> None:
        url = f"http://{lab_triton.http}/v2/repository/models/picky/{step}"
        assert httpx.post(url, timeout=60).is_success

    await asyncio.to_thread(repository, "unload")
    try:
        job = await worked.submit("picky", {"text": "lovely"})
        waits = await worked.becomes(job, lambda job: job.attempts == 1)
        assert waits.state is State.PROCESSING
        await asyncio.sleep(0.1)
        assert not (await worked.store.find(job)).state.is_end
    finally:
        await asyncio.to_thread(repository, "load")
    ended = await worked.ended(job)
    assert ended.state is State.COMPLETED
    assert ended.attempts >= 2


async def test_a_version_that_is_nowhere_is_tried_again(worked: Queue) -> None:
    job = await worked.submit("picky", {"text": "x"}, version="v9.0.0")
    seen = await worked.becomes(job, lambda job: job.attempts == 2)
    assert seen.state is State.PROCESSING
    await worked.store.cancel("acme", job)
