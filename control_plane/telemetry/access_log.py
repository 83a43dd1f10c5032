"""One JSON line a request, written by a thread so that a slow reader never stops the service."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Final

from control_plane.telemetry.exchange import Exchange

MAX_LINES: Final = 20_000
FLUSH_S: Final = 0.1


class AccessLog:
    """Collects lines in memory and writes them ten times a second.

    At most 20,000 lines wait; beyond that lines are dropped and their number is written instead.
    Lines are put together as text, because an encoder costs three times as much: every field is a
    number or of a closed alphabet without quotes (ids, names, codes, templates of paths).
    """

    def __init__(self, descriptor: int) -> None:
        """Start the writer.

        Args:
            descriptor: Where to write, such as 1.
        """
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
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
        line = (
            f'{{"time":"{self._now()}","event":"request","request_id":"{exchange.request_id}",'
            f'"method":{json.dumps(exchange.method)},"route":"{exchange.route}","status":{exchange.status},'
            f'"duration_ms":{seconds * 1000:.3f}'
        )
        if exchange.model:
            line += (
                f',"model":"{exchange.model}","model_version":"{exchange.version}",'
                f'"admission_ms":{exchange.admission_s * 1000:.3f},'
                f'"queue_ms":{exchange.queue_s * 1000:.3f},'
                f'"inference_ms":{exchange.inference_s * 1000:.3f},"shared":{exchange.shared}'
            )
        if exchange.client:
            line += f',"tenant":"{exchange.tenant}","client":"{exchange.client}"'
        if exchange.units:
            line += f',"units":{exchange.units}'
        if exchange.error:
            line += f',"error":"{exchange.error}"'
        if exchange.client_request_id:
            line += f',"client_request_id":"{exchange.client_request_id}"'
        self._lines.put(line + "}")

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
            lines.append(f'{{"event":"lines dropped","count":{dropped}}}')
        data = memoryview("".join(line + "\n" for line in lines).encode())
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return
