"""Bad input is a clear 4xx of the envelope: sizes, encodings, numbers, headers, methods, bytes."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from tests.integration import wire
from tests.stack import Gateway, Stack

LIMIT = 1_048_576
SOUND = b'{"model_version": "v1", "inputs": {"text": "lovely"}}'
DIABETES = (
    b'{"inputs": {"age": %s, "sex": 2, "body_mass_index": 32.1, "blood_pressure": 101, '
    b'"total_cholesterol": 157, "ldl": 93.2, "hdl": 38, "cholesterol_ratio": 4, '
    b'"log_triglycerides": 4.8598, "glucose": 87}}'
)


def padded(size: int) -> bytes:
    """A sound body of some bytes."""
    return SOUND + b" " * (size - len(SOUND))


def chunked(body: bytes, size: int = 65_536) -> list[bytes]:
    """A POST whose body comes in chunks, without a length."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    head = wire.post(b"", "Transfer-Encoding: chunked", length=False)
    return [head, *[b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces], b"0\r\n\r\n"]


def test_the_body_limit_is_exact(stack: Stack) -> None:
    assert wire.send(stack, wire.post(padded(LIMIT))).status == 200
    reply = wire.send(stack, wire.post(padded(LIMIT + 1)))
    assert (reply.status, reply.error()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.error()["details"] == {"limit_bytes": LIMIT}


def test_the_body_limit_holds_for_chunks(stack: Stack) -> None:
    assert wire.send(stack, *chunked(padded(LIMIT))).status == 200
    with wire.connect(stack) as connection:
        for part in chunked(padded(LIMIT + 1))[:-1]:
            connection.sendall(part)
        reply = wire.read(connection)
    assert (reply.status, reply.error()["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_a_declared_length_beyond_the_limit_is_answered_before_the_body(stack: Stack) -> None:
    head = wire.post(b"", "Content-Length: 99999999999", length=False)
    reply = wire.send(stack, head)
    assert (reply.status, reply.error()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.headers["connection"] == "close"


def test_chunks_without_end_are_cut_at_the_limit(stack: Stack) -> None:
    head, chunk = chunked(b" " * LIMIT)[0], b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with wire.connect(stack) as connection:
        connection.sendall(head)
        for _ in range(17):
            connection.sendall(chunk)
        assert wire.read(connection).status == 413


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: abc\r\n",
        b"Content-Length: 53\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_length_that_lies_is_no_request(stack: Stack, head: bytes) -> None:
    reply = wire.send(stack, wire.post(b"", length=False)[:-2] + head + b"\r\n" + SOUND)
    assert (reply.status, reply.error()["code"]) == (400, "MALFORMED_REQUEST")


def test_a_body_shorter_than_its_length_is_no_request(stack: Stack) -> None:
    with wire.connect(stack) as connection:
        connection.sendall(wire.post(b"", f"Content-Length: {len(SOUND) + 10}", length=False))
        connection.sendall(SOUND)
        connection.shutdown(1)
        assert wire.read(connection).status in {0, 400}
    assert stack.predict({"text": "lovely"}).status_code == 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_body_nested_too_deep_is_malformed(stack: Stack, opening: bytes, depth: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    nested = opening * depth + b"1" + closing * depth
    for body in (nested, b'{"inputs": {"text": %s}}' % nested):
        reply = wire.send(stack, wire.post(body))
        assert reply.status in {400, 422}, reply.body[:300]
        if depth == 100_000:
            assert reply.error()["code"] == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"inputs": {"text": "lovely"}} x',
        b'{"inputs": {"text": "lovely",}}',
        b"{'inputs': {}}",
        b'\xef\xbb\xbf{"inputs": {"text": "lovely"}}',
        b'{"inputs": {"text": "\xff"}}',
        b'{"inputs": {"text": "\xc3("}}',
        b'{"inputs": {"text": "\xed\xa0\x80"}}',
        b'{"inputs": {"text": "\\ud800"}}',
        b'{"inputs": {"text": "\\udc00 lovely"}}',
        b'{"inputs": {"text": "a\nb"}}',
        b'{"inputs": {"text": "a\x00b"}}',
        b'{"inputs": {"text": NaN}}',
        b'{"inputs": {"text": Infinity}}',
        b'{"inputs": {"text": -Infinity}}',
        b'{"inputs": {"text": 1e999}}',
        b'{"inputs": {"text": 01}}',
        b'{"inputs": {"text": "lovely", "confidence_threshold": 1e999}}',
        "{}".encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_malformed(stack: Stack, body: bytes) -> None:
    reply = wire.send(stack, wire.post(body))
    assert (reply.status, reply.error()["code"]) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("number", [b"9" * 400, b"-" + b"9" * 5000, b"1e400", b"NaN", b"1e308"])
def test_a_number_that_no_tensor_can_hold_is_refused(stack: Stack, number: bytes) -> None:
    reply = wire.send(stack, wire.post(DIABETES % number, path="/api/v1/models/diabetes/predict"))
    assert reply.status in {400, 422}, reply.body[:300]
    assert reply.error()["code"] in {"MALFORMED_REQUEST", "INVALID_INPUT"}


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "1e10", str(10**30)])
def test_an_integer_beyond_its_dtype_is_refused(lab: Gateway, number: str) -> None:
    body = b'{"inputs": {"label": "x", "ms": %s}}' % number.encode()
    reply = wire.send(lab, wire.post(body, path="/api/v1/models/sleeper/predict"))
    assert (reply.status, reply.error()["code"]) == (422, "INVALID_INPUT")


def test_of_a_key_that_stands_twice_the_last_counts(stack: Stack) -> None:
    twice = (
        b'{"model_version": "v9", "inputs": {"text": 1, "text": "lovely"}, "model_version": "v1"}'
    )
    reply = wire.send(stack, wire.post(twice))
    assert reply.status == 200
    assert json.loads(reply.body)["model_version"] == "v1.0.0"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1",
     "application/jsonx", "application/json, text/plain", "multipart/form-data; boundary=x",
     "application/json;", "application/vnd.api+json"],
)  # fmt: skip
def test_a_body_not_declared_as_json_is_refused(stack: Stack, content_type: str) -> None:
    reply = wire.send(stack, wire.post(SOUND, content_type=content_type))
    assert (reply.status, reply.error()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert reply.error()["details"]["accepted"] == ["application/json"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'APPLICATION/JSON;charset="UTF-8"'],
)
def test_json_may_say_that_it_is_utf8(stack: Stack, content_type: str) -> None:
    assert wire.send(stack, wire.post(SOUND, content_type=content_type)).status == 200


def test_a_compressed_body_is_refused(stack: Stack) -> None:
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        reply = wire.send(stack, wire.post(gzip.compress(SOUND), f"Content-Encoding: {encoding}"))
        assert (reply.status, reply.error()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert wire.send(stack, wire.post(SOUND, "Content-Encoding: identity")).status == 200


@pytest.mark.parametrize("query", ["x=1", "explain=maybe", "explain=true&x=1", "Explain=true", "="])
def test_an_unknown_query_parameter_is_refused(stack: Stack, query: str) -> None:
    answer = stack.predict({"text": "lovely"}, f"/api/v1/predict?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_PARAMETER")


def test_an_unknown_query_parameter_of_a_get_is_refused(stack: Stack) -> None:
    for path in ("/healthz", "/ready", "/api/v1/models", "/api/v1/models/wine"):
        answer = stack.client.get(path, params={"x": "1"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize(
    "header",
    ["X-Model-Version: v1", "X-Request-Timeout: 500", "Content-Type: application/json",
     "Content-Encoding: identity"],
)  # fmt: skip
def test_a_header_that_stands_twice_is_refused(stack: Stack, header: str) -> None:
    reply = wire.send(stack, wire.post(SOUND, header, header, content_type="application/json"))
    assert (reply.status, reply.error()["code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, b"hello\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n",
     b"*2\r\n$4\r\nPING\r\n\r\n"],
)  # fmt: skip
def test_bytes_that_are_no_http_get_the_envelope(stack: Stack, data: bytes) -> None:
    reply = wire.send(stack, data)
    assert (reply.status, reply.error()["code"]) == (400, "MALFORMED_REQUEST")
    assert reply.headers["x-request-id"] == reply.error()["request_id"]


@pytest.mark.parametrize(
    "own",
    ["a b", "x" * 129, "", "é", "a\tb", "a;b", '"quoted"', "<script>", "a,b", "a%0d%0ab"],
)
def test_a_request_id_that_is_not_well_formed_is_left_out(stack: Stack, own: str) -> None:
    reply = wire.send(stack, wire.post(SOUND, f"X-Request-ID: {own}"))
    assert reply.status == 200
    assert "x-client-request-id" not in reply.headers


def test_a_request_id_injects_no_header(stack: Stack) -> None:
    reply = wire.send(stack, wire.post(SOUND, "X-Request-ID: a\rX-Evil: 1"))
    assert reply.status in {200, 400}
    assert "x-evil" not in reply.headers
    assert "x-client-request-id" not in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/api/v3/predict", "/api/v1/predict/", "/api/v1//predict",
     "/api/v1/models/predict/predict/predict", "/metrics", "/v2/models/wine_logistic/infer",
     "/docs/assets/../../etc/passwd", "/docs/assets/%2e%2e%2fsecret", "/openapi.yaml", "/%ff%00"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_404_in_the_envelope(stack: Stack, path: str, method: str) -> None:
    reply = wire.send(
        stack, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode(),
        method=method,
    )  # fmt: skip
    assert (reply.status, reply.error()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_prediction_takes_post_alone(stack: Stack, method: str) -> None:
    for path in ("/api/v1/predict", "/api/v2/models/wine/predict", "/api/predict"):
        answer = stack.client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_resource_names_the_methods_that_it_takes(stack: Stack, method: str) -> None:
    for path in ("/healthz", "/ready", "/api/v1/models", "/openapi.json", "/docs"):
        answer = stack.client.request(method, path)
        assert answer.status_code == 405, path
        assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
        assert "GET" in answer.headers["allow"]


def test_what_answers_get_answers_head_without_a_body(stack: Stack) -> None:
    for path in ("/healthz", "/ready", "/api/v1/models", "/openapi.json", "/docs"):
        head, get = stack.client.head(path), stack.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == get.headers["content-length"]


def test_options_says_what_a_resource_takes(stack: Stack) -> None:
    answer: httpx.Response = stack.client.options("/api/v1/models")
    assert answer.status_code in {204, 405}
    assert "GET" in answer.headers["allow"]


def test_a_connection_serves_requests_after_an_error(stack: Stack) -> None:
    with wire.connect(stack) as connection:
        for body, status in ((b"{", 400), (SOUND, 200), (b'{"inputs": {}}', 422), (SOUND, 200)):
            connection.sendall(wire.post(body))
            assert wire.read(connection).status == status
