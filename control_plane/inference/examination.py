"""Whether a model version on one server is fit for traffic: its metadata and its examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from control_plane.errors import TidegateError
from control_plane.inference.backend import BackendFailed, BackendRejected, InferenceBackend
from control_plane.types import (
    Backing,
    BatchCodec,
    EncodedInput,
    InferenceRequest,
    ModelRef,
    ModelSignature,
)

FIRST_CALL_S: Final = 30.0
"""What a model's first call may take at least, seconds: many allocate and compile in it."""
MAX_REASON: Final = 300


class Example(Struct, frozen=True):
    """An input that has to work before a version gets traffic.

    Attributes:
        item: The encoded input.
        complaint: Says what is wrong with its row of the model's output; None if nothing is.
    """

    item: EncodedInput
    complaint: Callable[[Any], str | None]


class LaneSpec(Struct, frozen=True):
    """What a public version's lanes are made from.

    Attributes:
        ref: Public name, for logs and metrics.
        codec: Joins inputs and splits outputs.
        disagreements: Compares the contract with what Triton has loaded; one sentence for each
            difference.
        deadline_s: The contract's bound of a request's deadline, seconds.
        examples: What a server has to answer properly before it gets traffic, in this order.
        source: What all this was made from; of two specs with equal sources one does for both.
    """

    ref: ModelRef
    codec: BatchCodec
    disagreements: Callable[[ModelSignature], list[str]]
    deadline_s: float = 60.0
    examples: tuple[Example, ...] = ()
    source: object = None

    def replaces(self, other: LaneSpec) -> bool:
        """True if lanes made from the other cannot serve this one."""
        return self.ref != other.ref or self.source != other.source


class Findings(Struct, frozen=True):
    """What an examination found.

    Attributes:
        max_batch: Inputs that a call may carry.
        reasons: Why the version is not fit, a sentence each; empty if it is.
    """

    max_batch: int
    reasons: list[str]


async def examine(
    backend: InferenceBackend, backing: Backing, spec: LaneSpec, timeout_s: float
) -> Findings:
    """Compare a version's metadata with its contract, then run each of its examples once.

    They run one after the other, each within the contract's deadline, the first within
    :data:`FIRST_CALL_S` if that is longer. The first that fails ends it.

    Args:
        backend: The server.
        backing: The model version there.
        spec: What it is held against.
        timeout_s: Seconds that the server has to say what it has loaded.

    Raises:
        BackendError: If there is nothing to be learnt about the version: the server cannot be
            reached, is busy or too slow, or does not have it.
    """
    signature = await backend.signature(backing, timeout_s)
    reasons = spec.disagreements(signature)
    if not reasons:
        for index, example in enumerate(spec.examples):
            limit_s = max(spec.deadline_s, 0.0 if index else FIRST_CALL_S)
            complaint = await _run(backend, backing, spec.codec, example, limit_s)
            if complaint is not None:
                reasons = [f"example {index} fails: {complaint[:MAX_REASON]}"]
                break
    return Findings(signature.max_batch_size, reasons)


async def _run(
    backend: InferenceBackend, backing: Backing, codec: BatchCodec, example: Example, limit_s: float
) -> str | None:
    request = InferenceRequest(backing, codec.join([example.item]), codec.outputs, limit_s)
    try:
        row = codec.split(await backend.infer(request), 1)[0]
        if isinstance(row, Exception):
            raise row
        return example.complaint(row)
    except (BackendFailed, BackendRejected, TidegateError) as error:
        return str(error)
