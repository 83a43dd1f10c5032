"""Uploaded objects as inputs: pinned, read in parts, and refused once they are others."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import obstore
import pytest

from control_plane.errors import TidegateError
from control_plane.types import PinnedObject
from control_plane.uploads import layout
from control_plane.uploads.parts import PART_BYTES
from control_plane.uploads.shapes import Upload
from tests.integration.uploads.conftest import TENANT, Objects, code, masked

CONTENT = random.Random(7).randbytes(2 * PART_BYTES + 321)


async def pinned(objects: Objects, content: bytes = CONTENT) -> tuple[Upload, PinnedObject]:
    upload = await objects.complete(content)
    return upload, await objects.uploads.pin(TENANT, layout.url(upload.id), objects.rule())


async def whole(objects: Objects, found: PinnedObject, tenant: str = TENANT) -> bytes:
    async with objects.uploads.open(tenant, found) as opened:
        return await opened.read(0, opened.size)


def overwrite(objects: Objects, upload: Upload, content: bytes) -> None:
    """Put another content in the place of an object, as who has the store itself can."""
    key = layout.content(upload.tenant, upload.id)
    if objects.kind == "folder":
        path = Path(objects.settings.uploads.store) / key / "content"
        times = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        obstore.put(objects.room.objects._backend, key, content)


async def test_a_pinned_object_is_read_at_any_place(objects: Objects) -> None:
    _, found = await pinned(objects)
    assert (found.size, found.media_type) == (len(CONTENT), "audio/wav")
    async with objects.uploads.open(TENANT, found) as opened:
        assert opened.size == len(CONTENT)
        for start, length in ((0, 44), (44, 3_000_000), (PART_BYTES - 1, 2), (len(CONTENT), 9)):
            assert await opened.read(start, length) == CONTENT[start : start + length]


async def test_what_is_not_there_and_what_is_anothers_cannot_be_told_apart(
    objects: Objects,
) -> None:
    upload = await objects.complete(b"x")
    faults = []
    for url in (layout.url(upload.id), layout.url(layout.new_id())):
        with pytest.raises(TidegateError) as error:
            await objects.uploads.pin("other", url, objects.rule())
        faults.append((code(error), error.value.message, error.value.details))
    assert faults[0] == faults[1]
    assert faults[0][0] == "OBJECT_UNUSABLE"
    for call in (objects.uploads.get, objects.uploads.delete):
        answers = []
        for name in (upload.id, layout.new_id(), "upl_"):
            with pytest.raises(TidegateError) as error:
                await call("other", name)
            answers.append((code(error), masked(error.value.message)))
        assert set(answers) == {("NOT_FOUND", "There is no such upload")}
    found = await objects.uploads.pin(TENANT, layout.url(upload.id), objects.rule())
    with pytest.raises(TidegateError) as error:
        await whole(objects, found, "other")
    assert code(error) == "OBJECT_UNUSABLE"


async def test_an_object_has_to_be_complete(objects: Objects) -> None:
    upload, _ = await objects.make(b"x")
    with pytest.raises(TidegateError, match="not complete") as error:
        await objects.uploads.pin(TENANT, layout.url(upload.id), objects.rule())
    assert code(error) == "OBJECT_UNUSABLE"


@pytest.mark.parametrize("url", ["tidegate://uploads/", "tidegate://uploads/upl_1", "tidegate:x",
                                 "tidegate://results/upl_" + "0" * 32])  # fmt: skip
async def test_other_addresses_of_our_own_are_refused(objects: Objects, url: str) -> None:
    with pytest.raises(TidegateError) as error:
        await objects.uploads.pin(TENANT, url, objects.rule())
    assert code(error) == "ADDRESS_REFUSED"


async def test_media_type_and_size_have_to_be_what_the_input_takes(objects: Objects) -> None:
    upload = await objects.complete(b"12345")
    url = layout.url(upload.id)
    await objects.uploads.pin(TENANT, url, objects.rule(max_bytes=5))
    for rule in (objects.rule(max_bytes=4), objects.rule("audio/flac", "text/plain")):
        with pytest.raises(TidegateError) as error:
            await objects.uploads.pin(TENANT, url, rule)
        assert code(error) == "OBJECT_UNUSABLE"
    assert error.value.details["accepted"] == ["audio/flac", "text/plain"]


async def test_an_object_swapped_after_it_was_looked_at_is_refused(objects: Objects) -> None:
    upload, found = await pinned(objects)
    overwrite(objects, upload, CONTENT[::-1])
    with pytest.raises(TidegateError, match="replaced") as error:
        await whole(objects, found)
    assert code(error) == "OBJECT_UNUSABLE"


async def test_an_object_swapped_while_it_is_read_is_refused(objects: Objects) -> None:
    upload, found = await pinned(objects, CONTENT * 3)
    async with objects.uploads.open(TENANT, found) as opened:
        assert await opened.read(0, 10) == CONTENT[:10]
        overwrite(objects, upload, b"\0" * found.size)
        with pytest.raises(TidegateError, match="replaced"):
            await opened.read(5 * PART_BYTES, 10)


async def test_a_pin_is_of_one_content_only(objects: Objects) -> None:
    _, one = await pinned(objects, b"one")
    _, other = await pinned(objects, b"two")
    with pytest.raises(TidegateError):
        await whole(objects, msgspec.structs.replace(one, pin=other.pin))


async def test_an_object_deleted_after_it_was_looked_at_is_refused(objects: Objects) -> None:
    upload, found = await pinned(objects, b"x")
    await objects.uploads.delete(TENANT, upload.id)
    assert await objects.keys() == []
    with pytest.raises(TidegateError, match="not there") as error:
        await whole(objects, found)
    assert code(error) == "OBJECT_UNUSABLE"


async def test_an_object_that_was_deleted_behind_our_back_is_refused(objects: Objects) -> None:
    _, found = await pinned(objects, b"x")
    for key in await objects.keys():
        await objects.room.objects.delete(key)
    with pytest.raises(TidegateError, match="not there") as error:
        await whole(objects, found)
    assert code(error) == "OBJECT_UNUSABLE"
