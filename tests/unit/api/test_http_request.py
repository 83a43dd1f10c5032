"""Reading a request: headers, the body within its limit, JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.request import (
    ClientGone,
    check_query,
    decoded,
    read_body,
    read_headers,
    read_selector,
    read_timeout_ms,
)
from control_plane.errors import MalformedRequest, TidegateError

JSON = b"application/json"
Receive = Callable[[], Awaitable[Any]]


def receiving(*chunks: bytes | None) -> Receive:
    """A body in chunks; None where the client goes away."""
    messages: list[Any] = []
    for index, chunk in enumerate(chunks):
        if chunk is None:
            messages.append({"type": "http.disconnect"})
        else:
            more = index < len(chunks) - 1
            messages.append({"type": "http.request", "body": chunk, "more_body": more})

    async def receive() -> Any:
        return messages.pop(0)

    return receive


async def read(*chunks: bytes | None, limit: int = 100, **headers: bytes) -> Any:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return decoded(await read_body({b"content-type": JSON} | named, receiving(*chunks), limit))


async def refused(*chunks: bytes | None, **more: Any) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        await read(*chunks, **more)
    return caught.value


async def test_a_body_is_decoded() -> None:
    assert await read(b'{"a": [1, 2.5, "\xc3\xa9"]}') == {"a": [1, 2.5, "é"]}


async def test_a_chunked_body_is_joined() -> None:
    assert await read(b'{"a"', b": ", b"1}", b"") == {"a": 1}


@pytest.mark.parametrize(
    "declared",
    [b"application/json", b"application/json; charset=utf-8", b"Application/JSON",
     b'application/json;charset="UTF-8"', b"application/json ; charset=utf-8"],
)  # fmt: skip
async def test_json_in_utf8_is_taken(declared: bytes) -> None:
    assert await read(b"1", content_type=declared) == 1


@pytest.mark.parametrize(
    "declared",
    [b"", b"text/plain", b"application/json; charset=latin-1", b"application/jsonx", b"*/*",
     b"application/json, text/plain", b"multipart/form-data", b"\xff", b"application/json\x00"],
)  # fmt: skip
async def test_what_is_not_declared_as_json_is_refused(declared: bytes) -> None:
    error = await refused(b"1", content_type=declared)
    assert error.status == 415
    assert error.details["accepted"] == ["application/json"]


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip"])
async def test_a_compressed_body_is_refused(encoding: bytes) -> None:
    assert (await refused(b"1", content_encoding=encoding)).status == 415


@pytest.mark.parametrize("encoding", [b"identity", b"Identity"])
async def test_an_uncompressed_body_is_taken(encoding: bytes) -> None:
    assert await read(b"1", content_encoding=encoding) == 1


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert await read(b'"' + b"a" * 98 + b'"', content_length=b"100") == "a" * 98


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        ([b"1"], {"content_length": b"101"}),
        ([b"1" * 101], {}),
        ([b"1" * 60, b"1" * 60], {}),
        ([b"1" * 101, b""], {}),
    ],
    ids=["declared", "whole", "chunked", "first chunk"],
)
async def test_a_body_beyond_the_limit_is_refused_and_the_connection_closed(
    chunks: list[bytes], headers: dict[str, bytes]
) -> None:
    error = await refused(*chunks, **headers)
    assert (error.status, error.details) == (413, {"limit_bytes": 100})
    assert error.headers["connection"] == "close"


async def test_no_more_is_read_once_the_limit_is_passed() -> None:
    read_chunks = 0

    async def receive() -> Any:
        nonlocal read_chunks
        read_chunks += 1
        assert read_chunks < 10, "it reads on without end"
        return {"type": "http.request", "body": b"1" * 60, "more_body": True}

    with pytest.raises(TidegateError):
        await read_body({b"content-type": JSON}, receive, 100)
    assert read_chunks == 2


@pytest.mark.parametrize("chunks", [[None], [b"1", None]])
async def test_a_client_that_went_away_is_no_error_of_the_catalogue(
    chunks: list[bytes | None],
) -> None:
    with pytest.raises(ClientGone):
        await read(*chunks)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b" ", ""),
        (b"{", ""),
        (b"{'a': 1}", ""),
        (b"[1,]", ""),
        (b'{"a": 1} 2', ""),
        (b"NaN", ""),
        (b"Infinity", ""),
        (b"1e400", ""),
        (b"-1e400", ""),
        (b"01", ""),
        (b'"\xff"', "invalid UTF-8 at byte 1"),
        (b'"\xc3', "invalid UTF-8"),
        (b'"\\ud800"', ""),
        (b'"\\ud800\\u0041"', ""),
        (b'"a\nb"', ""),
        (b"\xef\xbb\xbf1", ""),
        (b"1" * 5000, ""),
    ],
)
async def test_a_body_that_is_no_json_is_malformed(body: bytes, told: str) -> None:
    error = await refused(body, limit=10_000)
    assert (error.code, error.status) == ("MALFORMED_REQUEST", 400)
    assert told in error.details["issue"]
    assert len(error.details["issue"]) <= 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_a_body_nested_without_end_is_malformed(opening: bytes) -> None:
    error = await refused(opening * 100_000, limit=10_000_000)
    assert (error.code, error.status) == ("MALFORMED_REQUEST", 400)


@given(st.binary(max_size=60))
async def test_any_bytes_are_json_or_malformed(body: bytes) -> None:
    with suppress(MalformedRequest):
        await read(body)


def scope(*headers: tuple[bytes, bytes], query: bytes = b"") -> Any:
    return {"headers": list(headers), "query_string": query}


@pytest.mark.parametrize(
    "name", [b"content-type", b"content-encoding", b"x-model-version", b"x-request-timeout"]
)
def test_a_header_that_matters_may_stand_but_once(name: bytes) -> None:
    with pytest.raises(TidegateError) as caught:
        read_headers(scope((name, b"1"), (name, b"1")))
    assert caught.value.code == "INVALID_PARAMETER"
    assert caught.value.details["parameter"] == name.decode()


def test_other_headers_may_stand_several_times() -> None:
    headers = read_headers(scope((b"cookie", b"a"), (b"cookie", b"b"), (b"accept", b"c")))
    assert headers[b"accept"] == b"c"


def test_all_of_several_accept_headers_count() -> None:
    pairs = ((b"accept", b"application/problem+json"), (b"accept", b"text/plain"))
    assert b"application/problem+json" in read_headers(scope(*pairs))[b"accept"]


@pytest.mark.parametrize("value", [b"v2", b"v2.3.1", b"stable", b"a" * 63])
def test_a_selector_is_read(value: bytes) -> None:
    assert read_selector({b"x-model-version": value}) == value.decode()


def test_no_selector_is_none() -> None:
    assert read_selector({}) is None


@pytest.mark.parametrize("value", [b"", b"a" * 64, b"\xff", "é".encode()])
def test_a_selector_that_can_be_none_is_refused(value: bytes) -> None:
    with pytest.raises(TidegateError) as caught:
        read_selector({b"x-model-version": value})
    assert caught.value.status == 400


@pytest.mark.parametrize(("value", "ms"), [(b"1", 1), (b"2000", 2000), (b"3600000", 3_600_000)])
def test_a_timeout_is_read_in_milliseconds(value: bytes, ms: int) -> None:
    assert read_timeout_ms({b"x-request-timeout": value}) == ms


@pytest.mark.parametrize(
    "value",
    [b"", b"0", b"-1", b"3600001", b"1.5", b"1e3", b" 1", b"1 ", b"1_000", b"0x10", b"+1",
     "\u0661".encode(), b"9" * 5000, b"nan"],
)  # fmt: skip
def test_a_timeout_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(TidegateError) as caught:
        read_timeout_ms({b"x-request-timeout": value})
    assert caught.value.details["parameter"] == "X-Request-Timeout"


def test_without_a_timeout_the_contract_decides() -> None:
    assert read_timeout_ms({}) is None


@pytest.mark.parametrize("query", [b"", b"explain=false"])
def test_a_query_that_asks_for_nothing_is_fine(query: bytes) -> None:
    check_query(scope(query=query))


@pytest.mark.parametrize("value", [b"true", b"simple", b"detailed"])
def test_an_explanation_is_not_available(value: bytes) -> None:
    with pytest.raises(TidegateError) as caught:
        check_query(scope(query=b"explain=" + value))
    assert caught.value.status == 501


@pytest.mark.parametrize(
    ("query", "parameter"),
    [(b"explain=", "explain"), (b"explain=TRUE", "explain"), (b"explain", "explain"),
     (b"debug=1", "debug"), (b"explain=false&debug=1", "debug"), (b"\xff=1", "\xff")],
)  # fmt: skip
def test_any_other_parameter_is_refused_by_name(query: bytes, parameter: str) -> None:
    with pytest.raises(TidegateError) as caught:
        check_query(scope(query=query))
    assert caught.value.status == 400
    assert caught.value.details["parameter"] == parameter
