"""What unit tests share: contracts made from changes to a sound one, and a loop in virtual time."""

from __future__ import annotations

import asyncio
import copy
import json
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

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
