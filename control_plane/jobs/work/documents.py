"""A large text, predicted sentence by sentence.

The text is read twice: first to count its sentences, so that a text which cannot be read to its end
costs no prediction and progress is that of sentences; then to predict them. In memory are a part of
the text, the sentences in flight, and the answers in their final form, about 90 bytes each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import Any, Final

from control_plane.contracts.answers import Answer
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.document import StreamSpec
from control_plane.contracts.inputs import resolve
from control_plane.errors import InvalidInput
from control_plane.jobs.work.parts import Ask, Progress
from control_plane.jobs.work.tally import Tally
from control_plane.readers.faults import unusable
from control_plane.readers.sentences import Sentence, sentences
from control_plane.tasks import end
from control_plane.types import OpenObject

MAX_SENTENCES: Final = 100_000
"""Of one text: bounds the memory of its result to about 10 MiB."""
IN_FLIGHT: Final = 64
"""Sentences of one text that are with the model or wait for it."""


class Document:
    """A text and the model that its sentences go to."""

    def __init__(
        self, contract: CompiledContract, stream: StreamSpec, inputs: dict[str, Any], ask: Ask
    ) -> None:
        """Know what a sentence becomes.

        Args:
            contract: Of the version.
            stream: Its stream.
            inputs: Of the job, completed.
            ask: Takes a sentence to the model.
        """
        self._contract = contract
        self._into = stream.into or ""
        self._given = {name: value for name, value in inputs.items() if name != stream.object}
        self._ask = ask
        schema = contract.inputs.schema
        self._most = int(resolve(schema["properties"][self._into], schema)["maxLength"])

    async def read(self, opened: OpenObject, progress: Progress) -> dict[str, Any]:
        """Predict each sentence.

        Args:
            opened: The text, UTF-8.
            progress: Told what is done.

        Raises:
            TidegateError: OBJECT_UNUSABLE if it is no text in UTF-8, is blank, has more than
                100,000 sentences, or one that the model does not take; what ``ask`` raises.
        """
        total = await self._count(opened)
        tally = Tally(self._contract.contract.answer.labels or [])
        pending: deque[tuple[Sentence, asyncio.Task[Answer]]] = deque()

        async def settle() -> None:
            sentence, task = pending[0]
            tally.add(sentence, await task)
            pending.popleft()
            progress(100 * tally.count / total)

        try:
            async with aclosing(sentences(opened, self._most)) as found:
                async for sentence in found:
                    task = asyncio.create_task(self._answer(sentence))
                    pending.append((sentence, task))
                    if len(pending) >= IN_FLIGHT:
                        await settle()
            while pending:
                await settle()
        finally:
            await end([task for _, task in pending])
        return tally.result()

    async def _count(self, opened: OpenObject) -> int:
        count = 0
        async with aclosing(sentences(opened, self._most)) as found:
            async for _ in found:
                count += 1
                if count > MAX_SENTENCES:
                    message = f"The text has more than {MAX_SENTENCES} sentences"
                    raise unusable(message, limit=MAX_SENTENCES)
        if not count:
            raise unusable("The text is blank")
        return count

    async def _answer(self, sentence: Sentence) -> Answer:
        try:
            inputs = self._contract.inputs.complete({**self._given, self._into: sentence.text})
            row = await self._ask(self._contract.encode(inputs))
        except InvalidInput as error:
            first = error.faults[0]
            message = f"The sentence at character {sentence.start} cannot be predicted"
            raise unusable(message, start=sentence.start, issue=first.issue) from None
        return self._contract.answer(row, inputs)
