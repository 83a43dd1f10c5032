"""What unit tests share: contracts, a gate that lets everybody in, and a loop in virtual time."""

from __future__ import annotations

import asyncio
import copy
import json
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.permit import Grant, Permit, Price
from control_plane.admission.limits.standing import Standing
from control_plane.admission.principal import Principal
from control_plane.contracts.compiler import CompiledContract, compile_contract
from control_plane.contracts.source import FaultyContract, Source
from control_plane.types import Backing, FileFault

SOUND: dict[str, Any] = {
    "model": "house",
    "version": "v1.0.0",
    "status": "stable",
    "title": "Price of a house",
    "deadline_ms": 1000,
    "inputs": {"required": ["x"], "properties": {"x": {"type": "number"}}},
    "examples": [{"x": 1}],
    "tensors": {"X": {"from": "x", "datatype": "FP32", "shape": [1]}},
    "answer": {"kind": "tensors", "tensors": ["X"]},
}

Document = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def document() -> Document:
    """A sound contract's document with some of its fields replaced; None takes a field out."""

    def build(**changes: Any) -> dict[str, Any]:
        merged = copy.deepcopy(SOUND) | changes
        return {name: value for name, value in merged.items() if value is not None}

    return build


@pytest.fixture(scope="session")
def compiled(document: Document) -> Callable[..., CompiledContract]:
    """Compiles a sound contract with some of its fields replaced."""

    def build(**changes: Any) -> CompiledContract:
        source = Source("m/1/contract.yaml", json.dumps(document(**changes), ensure_ascii=False))
        return compile_contract(source, Backing("m", "1"))

    return build


@pytest.fixture(scope="session")
def faults_of() -> Callable[[str], list[FileFault]]:
    """The faults of a contract's text; none if it is sound. Any other exception escapes."""

    def read(text: str) -> list[FileFault]:
        try:
            compile_contract(Source("m/1/contract.yaml", text), Backing("m", "1"))
        except FaultyContract as error:
            return error.faults or [FileFault("", -1, "a faulty contract without faults", "")]
        return []

    return read


CALLER = Principal(
    kind="key",
    subject="t:acme",
    tenant="acme",
    client="k:abcdefghij27",
    tier="pro",
    limits=Limits(requests=1000, burst=1000, concurrency=1000),
    scopes=("predict",),
)


class OpenGate:
    """Lets everybody in and notes how each request ended.

    Attributes:
        soft: True if callers are under a soft block.
        refusal: What a request that is not known yet is told in place of a permit.
        asked: Who asked, and for what price.
        confirmed: Prices of the requests that are to be paid, with their compute time in µs.
        refunded: Prices of those that are not.
    """

    def __init__(self) -> None:
        self.soft = False
        self.refusal: Exception | None = None
        self.asked: list[tuple[Principal, Price]] = []
        self.confirmed: list[tuple[Price, int]] = []
        self.refunded: list[Price] = []

    def take(self, principal: Principal, price: Price) -> Permit | None:
        """Nothing is granted ahead."""

    async def admit(self, principal: Principal, price: Price, deadline: float) -> Permit:
        """Let a request in."""
        self.asked.append((principal, price))
        if self.refusal is not None:
            raise self.refusal

        def ended(grant: Grant) -> None:
            if grant.confirmed:
                self.confirmed.append((price, grant.compute_us))
            else:
                self.refunded.append(price)

        standing = Standing(principal.limits, 0, 0, 0, 0, 0, soft=self.soft)
        return Permit(Grant("p", 1, 0, deadline), standing, 0, price.units, ended)


@pytest.fixture
def caller() -> Principal:
    """A key of the tenant ``acme`` that may predict with every model."""
    return CALLER


@pytest.fixture
def gate() -> OpenGate:
    """A gate that lets everybody in."""
    return OpenGate()


class _Clock(selectors.SelectSelector):
    """Instead of waiting it moves the time on, so that a schedule runs the same each time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen: a wait would never end")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nothing can be done."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


@pytest.fixture(scope="session")
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end in virtual time; a wait that could never end is an error."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(coroutine)

    return run
