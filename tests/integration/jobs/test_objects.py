"""A large file from its upload to the webhook: through the door, the worker and the receiver."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest
import soundfile
from standardwebhooks import Webhook

from tests.integration.speech.voices import RATE, speech
from tests.stack import RECEIVERS, TIMEOUT_S, Stack, until

ENDED = frozenset({"completed", "failed", "canceled", "expired"})
SPOKEN = speech(1, phrases=3)


class Calls(ThreadingHTTPServer):
    """A receiver of webhooks.

    Attributes:
        got: Headers and body of each call.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__((RECEIVERS.partition("/")[0], 0), _Receiving)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/hook"


class _Receiving(BaseHTTPRequestHandler):
    server: Calls

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): each for name, each in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Calls]:
    """A receiver that takes what comes."""
    with Calls() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    """A tenant's client."""
    headers = stack.customer("predict", "jobs", "uploads").headers
    with httpx.Client(base_url=stack.http, headers=headers, timeout=TIMEOUT_S) as found:
        yield found


def uploaded(client: httpx.Client, data: bytes, media_type: str) -> str:
    """The URL of an object that inputs may name."""
    body = {"filename": "a file", "content_type": media_type, "size": len(data)}
    made = client.post("/api/v1/uploads", json=body)
    assert made.status_code == 201, made.text
    told = made.json()["upload"]
    address = urljoin(str(client.base_url), told["url"])
    put = httpx.request(told["method"], address, headers=told["headers"], content=data)
    assert put.status_code == 201, put.text
    return str(made.json()["url"])


def submitted(client: httpx.Client, model: str, inputs: dict[str, Any], **beside: Any) -> str:
    """The path of a job."""
    answer = client.post("/api/v1/jobs", json={"model": model, "inputs": inputs, **beside})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


def ended(client: httpx.Client, path: str) -> tuple[dict[str, Any], list[int]]:
    """A job after its end, and the progress that it showed until then."""
    shown: list[int] = []
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        job = client.get(path).json()
        shown.append(job["progress"])
        if job["status"] in ENDED:
            return job, shown
        time.sleep(0.02)
    pytest.fail(f"the job did not end: {job}")


def recording(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SPOKEN.samples, RATE, format=kind, subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_recording_is_heard_and_its_end_is_told(
    client: httpx.Client, receiver: Calls, kind: str
) -> None:
    audio = uploaded(client, recording(kind.upper()), f"audio/{kind}")
    path = submitted(client, "speech", {"audio": audio}, webhook_url=receiver.url)
    job, shown = ended(client, path)
    assert (job["status"], job["progress"]) == ("completed", 100), job
    assert shown == sorted(shown)
    found = [(start, stop) for start, stop, _ in job["result"]["segments"]]
    assert len(found) == len(SPOKEN.segments)
    assert np.abs(np.array(found) - SPOKEN.segments).max() < 0.26
    assert until(lambda: receiver.got, TIMEOUT_S)
    headers, body = receiver.got[0]
    told = Webhook(client.get("/api/v1/webhooks/secret").json()["secret"]).verify(body, headers)
    assert told["type"] == "job.completed"
    assert told["data"] == {name: each for name, each in job.items() if name != "result"}


def test_a_text_is_answered_sentence_by_sentence(client: httpx.Client) -> None:
    text = "It was great! I loved every bit of it. The end was awful. " * 20
    document = uploaded(client, text.encode(), "text/plain")
    job, shown = ended(client, submitted(client, "sentiment", {"document": document}))
    assert job["status"] == "completed", job
    assert shown == sorted(shown)
    rows = job["result"]["sentences"]
    assert job["result"]["summary"]["count"] == len(rows) == 60
    assert [row["prediction"] for row in rows[:3]] == ["positive", "positive", "negative"]
    assert text[rows[2]["start"] : rows[2]["end"]] == "The end was awful."


def test_a_cancellation_ends_the_work_in_the_middle(client: httpx.Client, stack: Stack) -> None:
    document = uploaded(client, b"It was a wonderful day at the lake. " * 20_000, "text/plain")
    path = submitted(client, "sentiment", {"document": document})
    assert until(lambda: client.get(path).json()["progress"] >= 1, TIMEOUT_S)
    answer = client.post(f"{path}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert 0 < answer.json()["progress"] < 100
    assert until(lambda: is_at_rest(stack), TIMEOUT_S), "the model goes on"
    assert client.get(path).json()["progress"] == answer.json()["progress"]


def executions(stack: Stack) -> str:
    """How often Triton ran the model of the texts."""
    text = httpx.get(f"http://{stack.endpoints['triton_metrics']}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("nv_inference_exec_count{")]
    (found,) = [line.rsplit(" ", 1)[1] for line in lines if 'model="minilm_encoder"' in line]
    return found


def is_at_rest(stack: Stack) -> bool:
    """True if the model of the texts does nothing for a while."""
    before = executions(stack)
    time.sleep(0.5)
    return executions(stack) == before


@pytest.mark.parametrize(
    ("model", "field", "media_type", "data"),
    [
        ("speech", "audio", "audio/wav", recording("WAV")[:50_000]),
        ("speech", "audio", "audio/flac", recording("WAV")),
        ("sentiment", "document", "text/plain", b"One sentence.\xff"),
        ("sentiment", "document", "text/plain", b" \n\t"),
    ],
    ids=["cut short", "another format", "no text", "blank"],
)
def test_what_cannot_be_read_fails_at_once_and_costs_nothing(
    client: httpx.Client, model: str, field: str, media_type: str, data: bytes
) -> None:
    given = {field: uploaded(client, data, media_type)}
    job, _ = ended(client, submitted(client, model, given))
    assert (job["status"], job["attempts"]) == ("failed", 1)
    assert job["error"]["code"] == "OBJECT_UNUSABLE"
    assert job["refunded_units"] == job["units"] > 0


def test_an_object_of_another_tenant_is_none(client: httpx.Client, stack: Stack) -> None:
    document = uploaded(client, b"It is mine.", "text/plain")
    answers = []
    for url in (document, document[:-8] + "00000000"):
        answer = httpx.post(
            f"{stack.http}/api/v1/jobs",
            json={"model": "sentiment", "inputs": {"document": url}},
            headers=stack.customer("predict", "jobs").headers,
        )
        answers.append((answer.status_code, answer.json()["error"]["message"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 422
