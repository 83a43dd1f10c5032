"""No key, token or payload in any log, metric or Valkey, whatever was sent and wherever."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from control_plane.admission.identity import apikeys
from tests.stack import Customer, Stack, until

PREDICT = "/api/v1/predict"
WHEREVER = (
    "value", "field", "model", "version", "option", "path", "query", "header", "raw",
)  # fmt: skip
SECRET = slice(21, None)
"""Where the secret part of a key stands."""


def marker() -> str:
    """A word that nothing else contains."""
    return f"marker{uuid.uuid4().hex}"


def token(word: str) -> str:
    """What looks like an access token, with a word in its claims and its signature."""
    parts = [json.dumps({"alg": "RS256", "kid": word}), json.dumps({"sub": word}), word]
    return ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)


class Sent:
    """What was sent that must be nowhere.

    Attributes:
        words: Each of them.
        last: Id of the last request; once it is in the log, all are.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.last = f"last-{uuid.uuid4().hex}"

    def note(self, word: str) -> str:
        """Remember a word."""
        self.words.append(word)
        return word

    def key(self, text: str) -> str:
        """Remember a key, and its secret part by itself."""
        self.words += [text, text[SECRET]]
        return text


def good_keys(stack: Stack, sent: Sent) -> Customer:
    """Use a key in every way there is."""
    customer = stack.customer()
    sent.key(customer.key)
    for headers in (customer.headers, {"x-api-key": customer.key}):
        body = {"model_version": "v1", "inputs": {"text": sent.note(marker())}}
        assert stack.anonymous.post(PREDICT, json=body, headers=headers).status_code == 200
    rotated = stack.operators.post(f"/keys/{customer.key_id}/rotate", json={})
    key = sent.key(rotated.json()["key"])
    answer = stack.anonymous.get("/api/v1/models", headers={"x-api-key": key})
    assert answer.status_code == 200
    sent.key(stack.admin_key)
    for demo_key in stack.keys:
        sent.key(demo_key)
    return customer


def bad_keys(stack: Stack, sent: Sent, customer: Customer) -> None:
    """Send what is no credential, to both doors."""
    mistyped = customer.key[:-1] + ("a" if customer.key[-1] != "a" else "b")
    unknown, _ = apikeys.mint()
    for text in (sent.key(mistyped), sent.key(unknown), sent.note(token(sent.note(marker()))),
                 sent.note(marker()), sent.note(marker()) * 300):  # fmt: skip
        for scheme in ("Bearer ", "Basic ", ""):
            headers = {"authorization": f"{scheme}{text}", **stack.elsewhere()}
            answer = stack.anonymous.get("/api/v1/models", headers=headers)
            assert answer.status_code == 401
            refused = stack.operators.get("/tenants", headers={"authorization": scheme + text})
            assert refused.status_code in {401, 429}
        stack.anonymous.get("/api/v1/models", headers={"x-api-key": text, **stack.elsewhere()})
    for place in ("?api_key=", "/", "?version="):
        path = f"/api/v1/models{place}{customer.key}"
        assert stack.client.get(path).status_code in {400, 404}


def bad_requests(stack: Stack, sent: Sent) -> None:
    """Put words everywhere in requests that are refused."""
    words = {place: sent.note(marker()) for place in WHEREVER}
    bodies: list[dict[str, Any]] = [
        {"inputs": {"text": 1, words["field"]: 1}},
        {"inputs": {"text": "x", "language": words["value"]}},
        {"inputs": {"text": "x"}, "model": words["model"]},
        {"inputs": {"text": "x"}, "model_version": words["version"]},
        {"inputs": {"text": "x"}, "options": {words["option"]: words["option"]}},
    ]
    for body in bodies:
        assert stack.client.post(PREDICT, json=body).status_code in {400, 404, 422}
    json_type = {"content-type": "application/json"}
    raw = f'{{"inputs": {{"text": "{words["raw"]}"'.encode()
    assert stack.client.post(PREDICT, content=raw, headers=json_type).status_code == 400
    assert stack.client.get(f"/{words['path']}").status_code == 404
    assert stack.client.get(f"/api/v1/models/{words['path']}").status_code == 404
    assert stack.client.get("/api/v1/models", params={words["query"]: "1"}).status_code == 400
    named = {"x-model-version": words["header"], "x-request-id": f"{words['header']} {{}}"}
    body = {"inputs": {"text": "x"}}
    assert stack.client.post(PREDICT, json=body, headers=named).status_code == 404


def flat(value: Any) -> Iterator[bytes]:
    """The strings in what a server answered."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from flat(list(value.items()))
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from flat(each)


def contents(server: redis.Redis) -> Iterator[bytes]:
    """Every key of a server and everything that it holds."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": server.get,
        b"hash": server.hgetall,
        b"set": server.smembers,
        b"zset": lambda name: server.zrange(name, 0, -1),
        b"list": lambda name: server.lrange(name, 0, -1),
        b"stream": server.xrange,
    }
    for name in server.scan_iter(count=1000):
        yield name
        yield from flat(read[server.type(name)](name))


def held(url: str) -> bytes:
    """Everything that a server holds."""
    with redis.Redis.from_url(url) as server:
        return b"\n".join(contents(server))


def written(stack: Stack) -> str:
    """Both outputs of all processes so far."""
    return "\n".join([*stack.run.output, *stack.run.errors])


@pytest.fixture(scope="module")
def told(stack: Stack) -> tuple[Sent, dict[str, bytes]]:
    """What was sent, and everything that was written of it, by place."""
    sent = Sent()
    customer = good_keys(stack, sent)
    bad_keys(stack, sent, customer)
    bad_requests(stack, sent)
    stack.client.get("/api/v1/models", headers={"x-request-id": sent.last})
    assert until(lambda: sent.last in written(stack), 30)
    log = written(stack).encode()

    name = customer.key_id.encode()
    assert until(lambda: name in held(stack.limits_redis_url), 30)
    places = {
        "log": log,
        "metrics": stack.scrape().encode(),
        "records": held(stack.redis_url),
        "counters": held(stack.limits_redis_url),
    }
    for server in ("valkey", "valkey-limits"):
        files = [path for path in (stack.data / server).rglob("*") if path.is_file()]
        places[f"files of {server}"] = b"\n".join(
            path.read_bytes() for path in files if not path.name.endswith(".conf")
        )
    assert name in places["records"], "nothing that was written is looked at"
    assert name in places["files of valkey"], "nothing that was written is looked at"
    assert name in places["log"], "nothing that was written is looked at"
    return sent, places


PLACES = ("log", "metrics", "records", "counters", "files of valkey", "files of valkey-limits")


@pytest.mark.parametrize("place", PLACES)
def test_nothing_secret_is_written(told: tuple[Sent, dict[str, bytes]], place: str) -> None:
    sent, places = told
    assert len(sent.words) > 30
    assert places[place]
    found = [word for word in sent.words if word.encode() in places[place]]
    assert found == []


def test_every_place_is_searched(told: tuple[Sent, dict[str, bytes]]) -> None:
    assert told[1].keys() == set(PLACES)
