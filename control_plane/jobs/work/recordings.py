"""A recording, taken through a model of voice activity a second at a time.

The model's recurrent state travels with each step and comes back with its answer: any server takes
the next step, and steps of several recordings share a call. While one is with the model, the next
is decoded.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.streams import STATE, WINDOWS
from control_plane.jobs.work.parts import Ask, Progress
from control_plane.readers.speech.decoder import Step
from control_plane.readers.speech.recording import Recording, opened_recording
from control_plane.readers.speech.segments import Bounds, Segmenter
from control_plane.tasks import end
from control_plane.types import EncodedInput, OpenObject

_MS: Final = 1000
_STATE_NUMBERS: Final = 256
_FLOATS: Final = struct.Struct(f"<{_STATE_NUMBERS}f")


class Listener:
    """Takes the steps of one recording to a model, and its state along."""

    def __init__(self, contract: CompiledContract, inputs: dict[str, Any], ask: Ask) -> None:
        """Begin in silence.

        Args:
            contract: Of the version.
            inputs: Of the job, completed.
            ask: Takes a step to the model.
        """
        specs = contract.contract.tensors.values()
        shapes = {str(spec.source): tuple(spec.shape) for spec in specs}
        self.windows = shapes[WINDOWS][0]
        self._sources = tuple(shapes)
        self._shapes = tuple(shapes.values())
        self._probabilities = contract.contract.answer.tensor or ""
        self._next_state = contract.contract.answer.state or ""
        self._state = bytes(_FLOATS.size)
        self._ask = ask
        self._segmenter = Segmenter(
            Bounds(
                threshold=inputs["threshold"],
                min_silence_s=inputs["min_silence_ms"] / _MS,
                min_speech_s=inputs["min_speech_ms"] / _MS,
                pad_s=inputs["speech_pad_ms"] / _MS,
            )
        )

    async def read(
        self, opened: OpenObject, progress: Progress, media_type: str | None
    ) -> dict[str, Any]:
        """Find the segments of a recording.

        Args:
            opened: WAV or FLAC.
            progress: Told what is done.
            media_type: What it was declared as, if that is known.

        Raises:
            TidegateError: OBJECT_UNUSABLE; what reading it or ``ask`` raises.
        """
        async with opened_recording(opened, self.windows, media_type) as recording:
            await self._listen(recording, progress)
            duration_s = recording.duration_s
        rows = self._segmenter.segments(duration_s)
        return {
            "segments": [list(row) for row in rows],
            "duration_s": round(duration_s, 3),
            "speech_s": round(sum(stop - start for start, stop, _ in rows), 3),
        }

    async def _listen(self, recording: Recording, progress: Progress) -> None:
        ahead = asyncio.create_task(recording.step())
        try:
            while (step := await ahead) is not None:
                ahead = asyncio.create_task(recording.step())
                await self._hear(step)
                progress(100 * step.done)
        finally:
            await end([ahead])

    async def _hear(self, step: Step) -> None:
        filled = {WINDOWS: step.windows, STATE: self._state}
        item = EncodedInput(tuple(filled[name] for name in self._sources), self._shapes)
        row = await self._ask(item)
        self._segmenter.feed(row[self._probabilities][: step.used])
        self._state = _FLOATS.pack(*(number for half in row[self._next_state] for number in half))
