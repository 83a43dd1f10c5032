"""What a shadow costs the answers: in turns with and without one, all else alike."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from loadtests.bench.load import Load, run
from loadtests.rollouts.gateway import Gateway
from loadtests.rollouts.results import Block, Cpu, Latency, ShadowCost, Share, latency_of
from loadtests.rollouts.traffic import Traffic, drawn_from

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTION: Final = 0.25
"""Of the capacity, at which the cost is measured."""
CONNECTIONS: Final = 64
CAPACITY_S: Final = 8.0
SETTLED_S: Final = 1.5
"""After a rollout began or ended: every process has heard of it, every count is written."""


class Pair(Struct, frozen=True):
    """A version and one that sees what it answers."""

    title: str
    model: str
    shadow: str
    texts: list[str]


class Turns:
    """Measures one pair, a block at a time."""

    def __init__(
        self, gateway: Gateway, pair: Pair, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Prepare.

        Args:
            gateway: With one HTTP process.
            pair: The versions.
            folder: Takes a file of bodies.
            say: Takes a line about each step.
        """
        self._gateway = gateway
        self._pair = pair
        self._say = say
        self._bodies = folder / f"{pair.model}.jsonl"
        lines = [msgspec.json.encode({"inputs": {"text": text}}) for text in pair.texts]
        self._bodies.write_bytes(b"\n".join(lines) + b"\n")

    def measure(self, turns: int, seconds: float) -> ShadowCost:
        """Take turns, one block without a shadow beside one with it; who begins changes.

        Args:
            turns: Blocks of each kind, at least 1; half as many at overload.
            seconds: Of each.
        """
        run(self._load(2.0))
        capacity = run(self._load(CAPACITY_S))
        rate = PORTION * capacity.answers / capacity.seconds
        self._say(f"{self._pair.title}: {rate / PORTION:.0f}/s at most; at {rate:.0f}/s")
        quarter = self._alternate(turns, lambda number: self._open(rate, seconds, number))
        full = self._alternate(max(1, turns // 2), lambda _: self._closed(seconds))
        return ShadowCost(self._pair.title, rate / PORTION, *quarter, *full)

    def _alternate(
        self, turns: int, block: Callable[[int], Block]
    ) -> tuple[list[Block], list[Block], Share]:
        without: list[Block] = []
        beside: list[Block] = []
        shares: list[Share] = []
        for number in range(turns):
            for is_shadowed in (number % 2 == 0, number % 2 == 1):
                if is_shadowed:
                    with self._shadowed(shares):
                        beside.append(block(number))
                else:
                    without.append(block(number))
            self._say(f"  without {_line(without[-1])}\n  shadow  {_line(beside[-1])}")
        return without, beside, _sum(shares)

    @contextmanager
    def _shadowed(self, shares: list[Share]) -> Iterator[None]:
        model, version = self._pair.model, self._pair.shadow
        shadow = {"version": version, "shadow": 100}
        rollout = self._gateway.start(model, candidates=[shadow], guards=None, again=True)
        time.sleep(SETTLED_S)
        yield
        time.sleep(SETTLED_S)
        told = self._gateway.operate("GET", f"/rollouts/{rollout}/shadow/{version}")
        shares.append(Share(told["compared"], told["errors"], told["dropped"]))
        self._gateway.abort(model)
        time.sleep(SETTLED_S)

    def _open(self, rate: float, seconds: float, seed: int) -> Block:
        traffic = Traffic(self._gateway, self._pair.model, rate, drawn_from(self._pair.texts), seed)
        before = self._cpu_s()
        with traffic.flowing():
            time.sleep(seconds)
        cpu = self._cpu(before, len(traffic.seen))
        lost = sum(each.status != HTTPStatus.OK for each in traffic.seen)
        return Block(len(traffic.seen) / seconds, latency_of(traffic.seen), cpu, lost)

    def _closed(self, seconds: float) -> Block:
        before = self._cpu_s()
        seen = run(self._load(seconds))
        cpu, bad = self._cpu(before, seen.answers), seen.refused + seen.broken
        latency = Latency(seen.p50_ms, seen.p99_ms, 0)
        return Block((seen.answers - seen.refused) / seen.seconds, latency, cpu, bad)

    def _load(self, seconds: float) -> Load:
        url = f"{self._gateway.url}/api/v1/models/{self._pair.model}/predict"
        named = {"Authorization": f"Bearer {self._gateway.key}", "X-User": "somebody"}
        named["Content-Type"] = "application/json"
        return Load(url, named, self._bodies, CONNECTIONS, seconds)

    def _cpu_s(self) -> tuple[float, float]:
        trees = self._gateway.trees
        return trees["tidegate"].cpu_s(), trees["triton"].cpu_s()

    def _cpu(self, before: tuple[float, float], answers: int) -> Cpu:
        spent = [now - then for now, then in zip(self._cpu_s(), before, strict=True)]
        return Cpu(*(each * 1000 / max(1, answers) for each in spent))


def _sum(shares: list[Share]) -> Share:
    failed, dropped = Counter[str](), Counter[str]()
    for share in shares:
        failed.update(share.failed)
        dropped.update(share.dropped)
    return Share(sum(share.compared for share in shares), failed, dropped)


def _line(block: Block) -> str:
    of: Any = block.latency
    return (
        f"{block.rate:.0f}/s p50 {of.p50_ms:.2f} p99 {of.p99_ms:.2f} ms, "
        f"CPU {block.cpu.tidegate_ms:.2f} + {block.cpu.triton_ms:.2f} ms"
    )
