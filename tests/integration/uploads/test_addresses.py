"""A signed address is good for one object, once: on a folder and on a bucket alike."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import pytest

from control_plane.errors import TidegateError
from control_plane.uploads.shapes import Address, State
from tests.integration.uploads.conftest import TENANT, Objects, code

CONTENT = b"so it goes" * 1000
REFUSED = {400, 403, 404, 405, 409, 410, 411, 412}


async def nothing(ids: Sequence[str]) -> set[str]:
    return set()


def bent(address: Address) -> Iterator[tuple[str, Address]]:
    """An address with each of its parts changed in turn."""
    parts = urlsplit(address.url)
    query = parse_qsl(parts.query)
    for index, (name, value) in enumerate(query):
        other = [*query]
        last = "0" if value[-1] != "0" else "1"
        other[index] = (name, value[:-1] + last)
        yield f"another {name}", replaced(address, query=urlencode(other))
        without = query[:index] + query[index + 1 :]
        yield f"no {name}", replaced(address, query=urlencode(without))
        if name.lower().endswith("expires"):
            other[index] = (name, str(int(value) + 5))
            yield "a later end", replaced(address, query=urlencode(other))
    flipped = parts.path[:-1] + ("0" if parts.path[-1] != "0" else "1")
    yield "another object", replaced(address, path=flipped)
    path, asked = (part.replace(TENANT, "acmf") for part in (parts.path, parts.query))
    yield "another tenant's object", replaced(address, path=path, query=asked)
    for method in ("POST", "DELETE", "GET"):
        yield f"method {method}", msgspec.structs.replace(address, method=method)
    for name, value in address.headers.items():
        if name != "content-length":
            other_headers = {**address.headers, name: value[:-1] + "0"}
            yield f"another {name}", msgspec.structs.replace(address, headers=other_headers)


def replaced(address: Address, **parts: str) -> Address:
    url = urlunsplit(urlsplit(address.url)._replace(**parts))
    return msgspec.structs.replace(address, url=url)


async def test_an_object_is_put_and_complete(objects: Objects) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    upload, address = await objects.make(CONTENT, sha256=digest)
    assert (await objects.uploads.get(TENANT, upload.id)).state is State.WAITING
    assert await objects.put(address, CONTENT) in {200, 201}
    found = await objects.uploads.get(TENANT, upload.id)
    assert (found.state, found.size, found.sha256) == (State.COMPLETE, len(CONTENT), digest)
    assert found.completed_ms >= found.created_ms
    assert found.used_ms == 0


async def test_what_was_signed_opens_nothing_else(objects: Objects) -> None:
    upload, address = await objects.make(CONTENT, sha256=hashlib.sha256(CONTENT).hexdigest())
    tried = 0
    for what, other in bent(address):
        if other == address:
            continue
        status = await objects.put(other, CONTENT, method=other.method)
        assert status in REFUSED, (what, status)
        tried += 1
    assert tried > 10
    for content in (CONTENT + b"x", CONTENT[:-1]):
        headers = {**address.headers, "content-length": str(len(content))}
        assert await objects.put(address, content, headers=headers) in REFUSED
    assert await objects.keys() == []
    assert (await objects.uploads.get(TENANT, upload.id)).state is State.WAITING
    assert await objects.put(address, CONTENT) in {200, 201}


async def test_headers_that_were_signed_may_not_be_left_out(objects: Objects) -> None:
    _, address = await objects.make(CONTENT)
    for name in address.headers:
        if name != "content-length":
            headers = {key: value for key, value in address.headers.items() if key != name}
            assert await objects.put(address, CONTENT, headers=headers) in REFUSED, name
    assert await objects.keys() == []


async def test_an_object_is_written_once(objects: Objects) -> None:
    upload, address = await objects.make(CONTENT)
    assert await objects.put(address, CONTENT) in {200, 201}
    other = CONTENT[::-1]
    assert await objects.put(address, other) in {409, 412}
    pinned = await objects.uploads.pin(TENANT, f"tidegate://uploads/{upload.id}", objects.rule())
    async with objects.uploads.open(TENANT, pinned) as opened:
        assert await opened.read(0, len(CONTENT)) == CONTENT


async def test_of_several_at_once_one_wins(objects: Objects) -> None:
    _, address = await objects.make(CONTENT)
    statuses = await asyncio.gather(*(objects.put(address, CONTENT) for _ in range(6)))
    assert sorted(statuses)[0] in {200, 201}
    assert all(status in {409, 412} for status in sorted(statuses)[1:]), statuses
    assert len({key.rpartition("/")[0] for key in await objects.keys()}) == 1


async def test_one_at_a_time_writes_an_object_until_it_is_silent(objects: Objects) -> None:
    upload, _ = await objects.make(CONTENT)
    records = objects.room.lifecycle(nothing)._records
    assert await records.hold(upload.id, "one") == "held"
    assert await records.hold(upload.id, "other") == "taken"
    assert await records.hold(upload.id, "other", 0) == "held"
    assert await records.hold(upload.id, "other") == "taken"
    assert await records.hold(upload.id, "one", 1) == "held"
    await asyncio.sleep(0.05)
    assert await records.hold(upload.id, "other") == "held"
    assert await records.hold(upload.id, "other", 0) == "held"
    assert await records.hold(upload.id, "one") == "held"


async def test_an_address_ends(objects: Objects) -> None:
    short = objects.with_settings(link_s=1)
    upload, address = await short.make(CONTENT)
    await asyncio.sleep(2.1)
    assert await short.put(address, CONTENT) in {403, 410}
    assert (await short.uploads.get(TENANT, upload.id)).state is State.EXPIRED
    assert await short.keys() == []


async def test_another_digest_than_was_said_is_refused(objects: Objects) -> None:
    upload, address = await objects.make(CONTENT, sha256=hashlib.sha256(b"other").hexdigest())
    assert await objects.put(address, CONTENT) in {400, 422}
    assert await objects.keys() == []
    assert (await objects.uploads.get(TENANT, upload.id)).state is State.WAITING


async def test_an_object_larger_than_any_may_be_gets_no_address(objects: Objects) -> None:
    small = objects.with_settings(max_bytes=1024)
    with pytest.raises(TidegateError) as error:
        await small.make(b"x" * 1025)
    assert code(error) == "PAYLOAD_TOO_LARGE"
    assert error.value.details == {"limit_bytes": 1024}
    await small.make(b"x" * 1024)


async def test_a_tenant_has_no_more_than_it_may(objects: Objects) -> None:
    few = objects.with_settings(open_per_tenant=5)
    made = await asyncio.gather(*(few.make(b"x") for _ in range(12)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, TidegateError)]
    assert {each.code for each in refused} == {"TOO_MANY_OPEN"}
    assert len(refused) == 7
    await few.make(b"x", tenant="other")
    page = await few.uploads.page(TENANT, None, 3)
    await few.uploads.delete(TENANT, page.items[0].id)
    await few.make(b"x")


async def test_uploads_are_listed_the_latest_first_in_pages(objects: Objects) -> None:
    made = [(await objects.make(b"x"))[0].id for _ in range(5)]
    await objects.make(b"x", tenant="other")
    seen, cursor = [], None
    while True:
        page = await objects.uploads.page(TENANT, cursor, 2)
        seen += [each.id for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen, reverse=True) == seen
    assert set(seen) == set(made)


async def test_the_name_of_a_file_is_not_kept_in_the_clear(objects: Objects) -> None:
    upload, _ = await objects.make(b"x")
    kept = await objects.server.hgetall(f"tg:{{uploads}}:upload:{upload.id}")
    assert upload.filename == "talk.wav"
    assert b"talk" not in b"".join(kept.values())
    assert (await objects.uploads.get(TENANT, upload.id)).filename == "talk.wav"
