"""A job that names a large object: what reads it, and what becomes of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.contracts.compiler import CompiledContract
from control_plane.errors import DeadlineExceeded, ModelUnavailable, NotAvailable, Overloaded
from control_plane.inference.lane import Lane
from control_plane.jobs.work.documents import Document
from control_plane.jobs.work.parts import Ask
from control_plane.jobs.work.recordings import Listener
from control_plane.types import EncodedInput, OpenObject

PAUSES_S: Final = (0.1, 0.4, 1.0, 2.0, 4.0)
"""Before each further try of a part that found the model busy or away, seconds."""


async def run_stream(
    contract: CompiledContract,
    inputs: dict[str, Any],
    opened: Mapping[str, OpenObject],
    lane: Lane,
    progress: Callable[[float], None],
    *,
    media_types: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Take an object through a model, a part at a time.

    A part that finds the model busy or away is tried again for some seconds; what a part answers
    depends on nothing else that the model knows, so that a second try is harmless.

    Args:
        contract: Of the version.
        inputs: Valid under ``contract.job_inputs``, and completed.
        opened: The objects that the inputs name, by input.
        lane: To the model.
        progress: Told what is done, 0 to 100.
        media_types: What the objects were declared as, by input, where it is known.

    Returns:
        The fields of the result as ``contracts.streams.job_answer`` describes them; for msgspec's
        encoder, as long lists are encoded already.

    Raises:
        TidegateError: OBJECT_UNUSABLE; what the lane or reading the object raises.
    """
    stream = contract.stream
    if stream is None:
        raise NotAvailable("This model version takes no objects")
    ask, named = _ask(contract, lane), opened[stream.object]
    if stream.reader == "sentences":
        return await Document(contract, stream, inputs, ask).read(named, progress)
    media_type = (media_types or {}).get(stream.object)
    return await Listener(contract, inputs, ask).read(named, progress, media_type)


def _ask(contract: CompiledContract, lane: Lane) -> Ask:
    deadline_s = contract.contract.deadline_ms / 1000
    loop = asyncio.get_running_loop()

    async def ask(item: EncodedInput) -> Any:
        for pause_s in PAUSES_S:
            try:
                return (await lane.infer(item, loop.time() + deadline_s)).row
            except (Overloaded, ModelUnavailable, DeadlineExceeded):
                await asyncio.sleep(pause_s)
        return (await lane.infer(item, loop.time() + deadline_s)).row

    return ask
