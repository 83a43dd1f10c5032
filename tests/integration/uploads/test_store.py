"""Objects by key, on a folder and on a bucket alike; and stores that are away."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
import redis.asyncio as redis

from control_plane.environment import InvalidSettings
from control_plane.errors import TidegateError
from control_plane.setting_groups import UploadSettings
from control_plane.uploads.opening import open_objects
from tests.integration.admission.conftest import free_port
from tests.integration.uploads.conftest import TENANT, Objects, code
from tests.integration.uploads.seaweed import ACCESS_KEY, SECRET_KEY
from tests.stack import CHECKOUT, environment, tidegate

KEY = "results/acme/job"
ACCOUNT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


async def test_an_object_is_kept_until_it_is_deleted(objects: Objects) -> None:
    store, content = objects.room.objects, b"result" * 2_000_000
    assert await store.head(KEY) is None
    await store.put(KEY, content)
    assert await store.get(KEY) == content
    head = await store.head(KEY)
    assert head is not None
    assert head.size == len(content)
    assert await store.read(KEY, 5, 10, head.tag) == content[5:15]
    await store.put(KEY, b"another")
    with pytest.raises(TidegateError, match="replaced"):
        await store.read(KEY, 0, 1, head.tag)
    assert await store.get(KEY) == b"another"
    for _ in range(2):
        await store.delete(KEY)
    with pytest.raises(TidegateError) as error:
        await store.get(KEY)
    assert code(error) == "OBJECT_UNUSABLE"


async def test_objects_are_listed(objects: Objects) -> None:
    store = objects.room.objects
    for number in range(3):
        await store.put(f"{KEY}{number}", b"x")
    assert sorted(await objects.keys("results")) == [f"{KEY}{number}" for number in range(3)]
    assert await objects.keys() == []


async def test_a_bucket_that_is_away_is_unavailable() -> None:
    settings = UploadSettings(store="s3://b", endpoint=f"http://127.0.0.1:{free_port()}")
    store = open_objects(settings, "A" * 43, ACCOUNT).objects
    for call in (store.get(KEY), store.head(KEY), store.put(KEY, b"x"), anext(store.listed("a"))):
        with pytest.raises(TidegateError) as error:
            await call
        assert code(error) == "UPLOADS_UNAVAILABLE"
        assert int(error.value.headers["retry-after"]) > 0


async def test_records_that_are_away_are_unavailable(objects: Objects) -> None:
    async with redis.Redis(port=free_port()) as nobody:
        lost = Objects(objects.kind, nobody, objects.settings)
        faults = await asyncio.gather(
            lost.make(b"x"),
            lost.uploads.get(TENANT, "upl_" + "0" * 32),
            lost.uploads.page(TENANT, None, 5),
            return_exceptions=True,
        )
    for fault in faults:
        assert isinstance(fault, TidegateError)
        assert fault.code == "UPLOADS_UNAVAILABLE"


def test_a_folder_is_made_where_its_parent_is(tmp_path: Path) -> None:
    open_objects(UploadSettings(store=str(tmp_path / "objects")), "A" * 43)
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["missing/objects", "file"])
def test_a_folder_that_cannot_be_is_refused_in_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidSettings) as error:
        open_objects(UploadSettings(store=str(tmp_path / place)), "A" * 43)
    (line,) = error.value.problems
    assert line.startswith("TIDEGATE_UPLOADS_STORE: the folder ")
    assert "\n" not in line


@pytest.mark.parametrize("given", [{}, {"AWS_ACCESS_KEY_ID": "x"}])
def test_a_bucket_without_credentials_is_refused_in_one_line(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings) as error:
        open_objects(UploadSettings(store="s3://bucket"), "A" * 43, given)
    (line,) = error.value.problems
    assert "AWS_SECRET_ACCESS_KEY" in line


def test_the_start_is_refused_in_one_line(tmp_path: Path) -> None:
    place = str(tmp_path / "missing" / "objects")
    settings = environment(
        triton_urls="127.0.0.1:1", redis_url="redis://127.0.0.1:1", uploads_store=place
    )
    started = subprocess.run(
        tidegate("serve", "--port", "0", "--admin-port", "0"),
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 2
    (line,) = started.stderr.splitlines()
    assert line.startswith(f"tidegate: TIDEGATE_UPLOADS_STORE: the folder {place} cannot be")
