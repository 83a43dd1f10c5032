"""The access log: one line a request, no payloads, bounded when nobody reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from control_plane.telemetry import access_log
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.exchange import Exchange


def exchange(**known: object) -> Exchange:
    made = Exchange("req_1", None, "POST", 0.0)
    for name, value in known.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(file: Path) -> Iterator[AccessLog]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    made = AccessLog(descriptor)
    yield made
    made.close()
    os.close(descriptor)


def lines(log: AccessLog, file: Path) -> list[dict[str, object]]:
    log.close()
    return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]


def test_a_request_is_one_line_with_ids_version_status_and_timings(
    log: AccessLog, file: Path
) -> None:
    known = {
        "route": "/api/v1/predict", "status": 200, "model": "house", "version": "v1.0.0",
        "client_request_id": "mine", "admission_s": 0.001, "queue_s": 0.002,
        "inference_s": 0.003, "shared": 4,
    }  # fmt: skip
    log.write(exchange(**known), 0.0123456)
    (line,) = lines(log, file)
    assert datetime.fromisoformat(str(line.pop("time"))).tzinfo is not None
    assert line == {
        "event": "request", "request_id": "req_1", "client_request_id": "mine", "method": "POST",
        "route": "/api/v1/predict", "status": 200, "duration_ms": 12.346, "model": "house",
        "model_version": "v1.0.0", "admission_ms": 1.0, "queue_ms": 2.0, "inference_ms": 3.0,
        "shared": 4,
    }  # fmt: skip


def test_a_failed_request_names_its_code(log: AccessLog, file: Path) -> None:
    log.write(exchange(status=404, error="NOT_FOUND"), 0.0)
    (line,) = lines(log, file)
    assert (line["status"], line["error"], line["route"]) == (404, "NOT_FOUND", "unmatched")
    assert "model" not in line


def test_a_request_names_its_tenant_and_its_price_once_they_are_known(
    log: AccessLog, file: Path
) -> None:
    log.write(exchange(tenant="acme", client="k:abcdefghij27", units=3), 0.0)
    log.write(exchange(client="a:203.0.113.7"), 0.0)
    log.write(exchange(), 0.0)
    tenant, anonymous, unknown = lines(log, file)
    assert (tenant["tenant"], tenant["client"], tenant["units"]) == ("acme", "k:abcdefghij27", 3)
    assert (anonymous["tenant"], anonymous["client"]) == ("", "a:203.0.113.7")
    assert not {"tenant", "client", "units"} & unknown.keys()


def test_an_exchange_has_no_place_for_a_payload() -> None:
    assert set(Exchange.__slots__) == {
        "admission_s", "client", "client_request_id", "error", "inference_s", "limits", "method",
        "model", "queue_s", "request_id", "route", "shared", "started", "status", "tenant",
        "units", "version",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        exchange(body="secret")


def test_lines_keep_their_order_and_all_are_written_at_the_end(log: AccessLog, file: Path) -> None:
    for number in range(5000):
        log.write(exchange(status=number), 0.0)
    assert [line["status"] for line in lines(log, file)] == list(range(5000))


def test_what_hostile_clients_send_stays_on_one_line(log: AccessLog, file: Path) -> None:
    log.write(exchange(method='P\nO"ST\u2028'), 0.0)
    (line,) = lines(log, file)
    assert line["method"] == 'P\nO"ST\u2028'


def test_when_nobody_reads_lines_are_dropped_and_their_number_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "MAX_LINES", 10)
    monkeypatch.setattr(access_log, "FLUSH_S", 3600)
    reader, writer = os.pipe()
    log = AccessLog(writer)
    for _ in range(25):
        log.write(exchange(), 0.0)
    assert log._lines.qsize() == 10
    log.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        written = [msgspec.json.decode(line) for line in pipe.read().splitlines()]
    assert [line["event"] for line in written] == ["request"] * 10 + ["lines dropped"]
    assert written[-1]["count"] == 15


def test_a_reader_that_is_gone_stops_nothing(log: AccessLog) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    broken = AccessLog(writer)
    broken.write(exchange(), 0.0)
    broken.close()
    assert not broken._thread.is_alive()
    os.close(writer)


@pytest.mark.timeout(30)
def test_a_reader_that_does_not_read_delays_the_end_by_two_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "FLUSH_S", 3600)
    reader, writer = os.pipe()
    log = AccessLog(writer)
    for _ in range(2000):
        log.write(exchange(), 0.0)
    log.close()
    os.close(reader)  # ends the write that hangs
    log._thread.join(10)
    assert not log._thread.is_alive()
    os.close(writer)
