"""A small closed-loop load generator, for machines without wrk; prints one line of JSON.

    python generator.py URL HEADERS_JSON PAYLOADS CONNECTIONS SECONDS

It costs more processor time a request than wrk does, and so takes more from the server beside it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvloop


class Tally:
    """What was seen so far.

    Attributes:
        times_s: Time of each answer, seconds.
        refused: Answers that were no 2xx.
        broken: Connections that failed.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.refused = 0
        self.broken = 0


def request_bytes(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A complete HTTP/1.1 request."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> int:
    """Send a request and read the whole answer; its status."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head[9:12]), 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    await reader.readexactly(length)
    return status


async def client(url: str, requests: Iterator[bytes], until: float, tally: Tally) -> None:
    """Keep one connection busy until a time of ``perf_counter()``."""
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (begun := time.perf_counter()) < until:
            status = await exchange(reader, writer, next(requests))
            tally.times_s.append(time.perf_counter() - begun)
            tally.refused += not 200 <= status < 300
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        tally.broken += 1


async def main(url: str, headers: str, payloads: str, connections: str, seconds: str) -> None:
    """Make the run and print what was seen."""
    named, tally = json.loads(headers), Tally()
    bodies = Path(payloads).read_bytes().splitlines()  # noqa: ASYNC240 (before the run begins)
    requests = itertools.cycle([request_bytes(url, named, body) for body in bodies])
    begun = time.perf_counter()
    until = begun + float(seconds)
    await asyncio.gather(*[client(url, requests, until, tally) for _ in range(int(connections))])
    lasted = time.perf_counter() - begun
    cuts = statistics.quantiles(tally.times_s, n=100) if len(tally.times_s) > 1 else [0.0] * 99
    seen = {
        "answers": len(tally.times_s), "seconds": lasted, "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000, "refused": tally.refused, "broken": tally.broken,
    }  # fmt: skip
    print(json.dumps(seen))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
