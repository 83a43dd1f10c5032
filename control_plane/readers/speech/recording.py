"""A recording that is decoded in a thread of its own, and read from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

from control_plane.readers.speech.decoder import Decoder, Step
from control_plane.readers.speech.file import ObjectFile
from control_plane.types import OpenObject


class Recording:
    """One recording; its steps are asked for one after the other."""

    def __init__(self, decoder: Decoder, thread: ThreadPoolExecutor) -> None:
        self._decoder = decoder
        self._thread = thread

    @property
    def duration_s(self) -> float:
        """Of what was decoded until now, seconds."""
        return self._decoder.duration_s

    async def step(self) -> Step | None:
        """The next windows; None at the end.

        Raises:
            TidegateError: OBJECT_UNUSABLE; whatever reading the object raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._decoder.step)


@asynccontextmanager
async def opened_recording(
    opened: OpenObject, windows: int, media_type: str | None = None
) -> AsyncIterator[Recording]:
    """Read a recording's header; at the end its thread ends, whatever it is at.

    Args:
        opened: WAV or FLAC.
        windows: Of a step.
        media_type: What it was declared as; None if that is not known.

    Raises:
        TidegateError: OBJECT_UNUSABLE; whatever reading the object raises.
    """
    loop = asyncio.get_running_loop()
    file = ObjectFile(opened, loop)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
    opening = thread.submit(Decoder, file, windows, media_type)
    try:
        yield Recording(await asyncio.wrap_future(opening), thread)
    finally:
        # Without its file the thread comes to an end within the block that it decodes.
        file.close()
        thread.submit(_close, opening)
        thread.shutdown(wait=False)


def _close(opening: Future[Decoder]) -> None:
    """Close what was opened, in the thread that used it."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
