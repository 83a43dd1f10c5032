"""What is kept of keys and requests."""

from __future__ import annotations

import pytest

from control_plane.errors import MalformedRequest
from control_plane.idempotency.digests import Digests

DIGESTS = Digests("A" * 43)


def test_the_same_request_has_the_same_digest_whatever_the_order_of_its_members() -> None:
    first = DIGESTS.of_request("/p", "m", body={"a": 1, "b": {"c": 2, "d": 3}})
    assert first == DIGESTS.of_request("/p", "m", body={"b": {"d": 3, "c": 2}, "a": 1})


def test_every_part_of_a_request_tells_it_apart() -> None:
    digests = [
        DIGESTS.of_request("/p", "m", body={"a": 1}),
        DIGESTS.of_request("/q", "m", body={"a": 1}),
        DIGESTS.of_request("/p", "n", body={"a": 1}),
        DIGESTS.of_request("/p", "m", "", body={"a": 1}),
        DIGESTS.of_request("/pm", "", body={"a": 1}),
        DIGESTS.of_request("/p", "m", body={"a": "1"}),
        DIGESTS.of_request("/p", "m", body={"a": [1]}),
    ]
    assert len(set(digests)) == len(digests)


def test_a_key_is_the_tenants_own() -> None:
    assert DIGESTS.of_key("a", "bc") != DIGESTS.of_key("ab", "c")
    assert DIGESTS.of_key("a", "k") == DIGESTS.of_key("a", "k")


def test_who_lacks_the_data_key_cannot_guess_what_was_sent() -> None:
    other = Digests("B" * 43)
    assert DIGESTS.of_key("a", "k") != other.of_key("a", "k")
    assert DIGESTS.of_request("/p", body={}) != other.of_request("/p", body={})


def test_what_is_nested_too_deep_is_the_requests_fault() -> None:
    body: list[object] = []
    for _ in range(100_000):
        body = [body]
    with pytest.raises(MalformedRequest, match="too deep"):
        DIGESTS.of_request("/p", body=body)
    while body:  # level by level: all at once would need as deep a stack
        body = body.pop()  # type: ignore[assignment]
