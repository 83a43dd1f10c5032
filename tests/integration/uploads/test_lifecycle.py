"""What is never used goes, what is used stays, and nothing is left behind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.errors import TidegateError
from control_plane.uploads import layout
from control_plane.uploads.lifecycle import Lifecycle
from control_plane.uploads.shapes import MARGIN_S, Found, State, Upload
from control_plane.uploads.store import ObjectStore
from tests.integration.uploads.conftest import TENANT, Objects, code

LATER = timedelta(days=2)
JOB = "job_" + "0" * 32


async def nothing(ids: Sequence[str]) -> set[str]:
    return set()


async def everything(ids: Sequence[str]) -> set[str]:
    return set(ids)


def lifecycle(objects: Objects) -> Lifecycle:
    return objects.room.lifecycle(nothing)


async def seconds_until_due(objects: Objects, upload: Upload) -> float:
    due = await objects.server.zscore(layout.DUE, upload.id)
    assert due is not None
    now, _ = await objects.server.time()
    return float(due) / 1000 - now


async def let_time_pass(objects: Objects, upload: Upload) -> None:
    """Bring the moment at which an upload has to go to the past."""
    assert await objects.server.zadd(layout.DUE, {upload.id: 1}, xx=True, ch=True)


async def test_an_upload_that_never_came_goes(objects: Objects) -> None:
    upload, _ = await objects.make(b"x")
    wait = objects.settings.uploads.link_s + MARGIN_S
    assert await seconds_until_due(objects, upload) == pytest.approx(wait, abs=60)
    assert await lifecycle(objects).due() == 0
    await let_time_pass(objects, upload)
    assert await lifecycle(objects).due() == 1
    with pytest.raises(TidegateError) as error:
        await objects.uploads.get(TENANT, upload.id)
    assert code(error) == "NOT_FOUND"
    assert await objects.server.keys() == []


async def test_an_object_that_nothing_uses_goes_before_its_record(objects: Objects) -> None:
    upload = await objects.complete(b"x")
    wait = objects.settings.uploads.unused_s
    assert await seconds_until_due(objects, upload) == pytest.approx(wait, abs=60)
    await let_time_pass(objects, upload)
    assert await lifecycle(objects).due() == 1
    assert await objects.keys() == []
    assert await objects.server.keys() == []


async def test_using_an_object_keeps_it(objects: Objects) -> None:
    upload = await objects.complete(b"x")
    await let_time_pass(objects, upload)
    found = await objects.uploads.pin(TENANT, layout.url(upload.id), objects.rule())
    assert await lifecycle(objects).due() == 0
    assert (await objects.uploads.get(TENANT, upload.id)).used_ms > 0
    await let_time_pass(objects, upload)
    async with objects.uploads.open(TENANT, found):
        assert await lifecycle(objects).due() == 0
    await let_time_pass(objects, upload)
    assert await lifecycle(objects).due() == 1


async def test_what_was_used_after_it_was_found_to_be_due_is_kept(objects: Objects) -> None:
    upload = await objects.complete(b"x")
    records = lifecycle(objects)._records
    await let_time_pass(objects, upload)
    assert await records.due(10) == [(TENANT, upload.id)]
    assert await records.use(upload.id) == "done"
    assert not await records.remove(TENANT, upload.id, "due")
    assert (await objects.uploads.get(TENANT, upload.id)).state is State.COMPLETE


async def test_what_a_crash_left_half_deleted_is_deleted_by_the_next(objects: Objects) -> None:
    upload = await objects.complete(b"x")
    await let_time_pass(objects, upload)
    records = lifecycle(objects)._records
    assert await records.remove(TENANT, upload.id, "due")
    with pytest.raises(TidegateError) as error:
        await objects.uploads.pin(TENANT, layout.url(upload.id), objects.rule())
    assert code(error) == "OBJECT_UNUSABLE"
    assert (await objects.uploads.page(TENANT, None, 10)).items == []
    assert await lifecycle(objects).due() == 0
    await let_time_pass(objects, upload)
    assert await lifecycle(objects).due() == 1
    assert await objects.keys() == []
    assert await objects.server.keys() == []


async def test_nothing_begins_with_an_upload_that_is_going(objects: Objects) -> None:
    records = lifecycle(objects)._records
    for upload in (await objects.complete(b"x"), (await objects.make(b"x"))[0]):
        assert await records.remove(TENANT, upload.id, "begin")
        assert await records.use(upload.id) == "gone"
        assert await records.complete(upload.id, Found(1, "pin")) == "gone"
        assert await records.hold(upload.id, "somebody") == "gone"
        assert await records.find(upload.id) is None


async def test_an_object_that_cannot_be_deleted_holds_up_no_other(objects: Objects) -> None:
    if objects.kind == "bucket":
        pytest.skip("nothing keeps an object of a bucket from being deleted")
    stuck, other = [await objects.complete(b"x") for _ in range(2)]
    place = Path(objects.settings.uploads.store) / layout.content(TENANT, stuck.id)
    shutil.rmtree(place)
    place.write_text("no folder")
    for upload in (stuck, other):
        await let_time_pass(objects, upload)
    assert await lifecycle(objects).due() == 1
    assert 0 < await seconds_until_due(objects, stuck) <= 61
    place.unlink()
    await let_time_pass(objects, stuck)
    assert await lifecycle(objects).due() == 1
    assert await objects.server.keys() == []


async def test_an_object_is_not_put_for_an_upload_that_was_deleted(objects: Objects) -> None:
    upload, address = await objects.make(b"x")
    await objects.uploads.delete(TENANT, upload.id)
    status = await objects.put(address, b"x")
    if objects.kind == "folder":
        assert status == 410
    assert await lifecycle(objects).strays(datetime.now(UTC) + LATER) == len({status} & {200})
    assert await objects.keys() == []


async def test_strays_go_when_they_are_old_and_nothing_else_does(objects: Objects) -> None:
    kept = await objects.complete(b"kept")
    stray = await objects.complete(b"stray")
    await objects.server.delete(layout.record(stray.id))
    store: ObjectStore = objects.room.objects
    await store.put(layout.result(TENANT, JOB), b"result")
    assert await lifecycle(objects).strays(datetime.now(UTC)) == 0
    held = objects.room.lifecycle(everything)
    assert await held.strays(datetime.now(UTC) + LATER) > 0
    assert await store.head(layout.result(TENANT, JOB)) is not None
    keys = await objects.keys()
    assert keys
    assert all(kept.id in key for key in keys)
    assert await lifecycle(objects).strays(datetime.now(UTC) + LATER) == 1
    assert await store.head(layout.result(TENANT, JOB)) is None
    assert (await objects.uploads.get(TENANT, kept.id)).state is State.COMPLETE


async def test_one_of_several_deletes_and_the_next_goes_on(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.uploads.lifecycle.ROUND_S", 0.01)
    upload = await objects.complete(b"x")
    await let_time_pass(objects, upload)
    runs = [asyncio.create_task(lifecycle(objects).run()) for _ in range(2)]
    for _ in range(1500):
        if not await objects.server.exists(layout.record(upload.id)):
            break
        await asyncio.sleep(0.02)
    assert await objects.keys() == []
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    assert await objects.server.exists(layout.LIFECYCLE) == 0
