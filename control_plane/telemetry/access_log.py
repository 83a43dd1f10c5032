"""One JSON line a request, written by a thread so that a slow reader never stops the service."""

from __future__ import annotations

import os
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Final

import msgspec

from control_plane.telemetry.exchange import Exchange

MAX_LINES: Final = 20_000
FLUSH_S: Final = 0.1


class AccessLog:
    """Collects lines in memory and writes them ten times a second.

    At most 20,000 lines wait; beyond that lines are dropped and their number is written instead.
    """

    def __init__(self, descriptor: int) -> None:
        """Start the writer.

        Args:
            descriptor: Where to write, such as 1.
        """
        self._descriptor = descriptor
        self._encoder = msgspec.json.Encoder()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._dropped = 0
        self._stop = threading.Event()
        self._second = (0, "")
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    def write(self, exchange: Exchange, seconds: float) -> None:
        """Note a finished request.

        Args:
            exchange: What is known of it.
            seconds: From arrival to the end of the answer.
        """
        if self._lines.qsize() >= MAX_LINES:
            self._dropped += 1
            return
        line: dict[str, object] = {
            "time": self._now(),
            "event": "request",
            "request_id": exchange.request_id,
            "method": exchange.method,
            "route": exchange.route,
            "status": exchange.status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if exchange.model:
            line["model"] = exchange.model
            line["model_version"] = exchange.version
            line["admission_ms"] = round(exchange.admission_s * 1000, 3)
            line["queue_ms"] = round(exchange.queue_s * 1000, 3)
            line["inference_ms"] = round(exchange.inference_s * 1000, 3)
            line["shared"] = exchange.shared
        if exchange.error:
            line["error"] = exchange.error
        if exchange.client_request_id:
            line["client_request_id"] = exchange.client_request_id
        self._lines.put(self._encoder.encode(line))

    def close(self) -> None:
        """Write what waits and stop, within two seconds."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second[0]:
            stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = (second, stamp)
        return f"{self._second[1]}.{int((now - second) * 1000):03d}Z"

    def _write_all(self) -> None:
        while not self._stop.wait(FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._lines.get_nowait() for _ in range(self._lines.qsize())]
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lines.append(self._encoder.encode({"event": "lines dropped", "count": dropped}))
        data = memoryview(b"".join(line + b"\n" for line in lines))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return
