"""One answer under one key (IETF draft-ietf-httpapi-idempotency-key-header, and Stripe's practice).

What is kept is an answer that was paid for; an error has done nothing and is paid with nothing,
so it frees the key and the same request may be sent again. A hold is renewed while its request is
under way and lapses when its process has died.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import Struct
from redis.exceptions import RedisError

from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.sealing import Sealer, Unsealable
from control_plane.tasks import end

log = logging.getLogger(__name__)

KEPT_S: Final = 86_400
"""How long an answer is kept: 24 hours."""
HOLD_S: Final = 15.0
"""How long a key is held by a process that has died, seconds."""
RENEW_S: Final = 5.0
STEP_S: Final = 2.0

_FOLDER: Final = Path(__file__).parent


class KeptAnswer(Struct, frozen=True):
    """An answer as it was given.

    Attributes:
        status: HTTP status.
        headers: The answer's own, names in lower case.
        body: As it was.
        model: Public name of the model that gave it.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    model: str = ""


class Once:
    """Answers under keys, on the limits server, encrypted."""

    def __init__(self, server: redis.Redis, sealer: Sealer) -> None:
        """Keep answers.

        Args:
            server: The limits server.
            sealer: Encrypts them.
        """
        self._sealer = sealer
        self._begin = server.register_script((_FOLDER / "begin.lua").read_text())
        self._settle = server.register_script((_FOLDER / "settle.lua").read_text())
        self._freeing: set[asyncio.Task[None]] = set()

    async def answer(
        self, tenant: str, key: str, digest: str, make: Callable[[], Awaitable[KeptAnswer]]
    ) -> tuple[KeptAnswer, bool]:
        """The answer under a key: that of an earlier request, or what is made now.

        Args:
            tenant: Whose key it is.
            key: Digest of it.
            digest: Of the request.
            make: Answers the request; what it raises frees the key.

        Returns:
            The answer, and whether it is an earlier request's.

        Raises:
            TidegateError: IDEMPOTENCY_CONFLICT, IDEMPOTENCY_IN_PROGRESS, ADMISSION_UNAVAILABLE
                if the limits server is away, or what ``make`` raises.
        """
        place, holder = f"tg:{{t:{tenant}}}:once:{key}", secrets.token_hex(8)
        async with _reached():
            reply: Any = await self._begin(keys=[place], args=[digest, holder, _ms(HOLD_S)])
        kept = self._earlier(place, reply)
        if kept is not None:
            return kept, True
        held = [digest, holder]
        renewing = asyncio.create_task(self._renew(place, held))
        try:
            made = await make()
        except BaseException:
            await end([renewing])
            self._free(place, held)
            raise
        await end([renewing])
        sealed = self._sealer.seal(msgspec.msgpack.encode(made), place)
        # The answer is good and paid for, whether or not it can be given again.
        with suppress(AdmissionUnavailable):
            async with _reached():
                await self._settle(keys=[place], args=[*held, _ms(KEPT_S), sealed])
        return made, False

    async def close(self) -> None:
        """Wait until the keys of the last errors are free; each takes two seconds at most."""
        if self._freeing:
            await asyncio.wait(self._freeing)

    def _earlier(self, place: str, reply: list[Any]) -> KeptAnswer | None:
        state = bytes(reply[0])
        if state == b"begun":
            return None
        if state == b"conflict":
            message = "This Idempotency-Key came with another request before"
            raise TidegateError(message, code="IDEMPOTENCY_CONFLICT")
        if state == b"running":
            raise TidegateError(
                "A request with this Idempotency-Key is under way",
                code="IDEMPOTENCY_IN_PROGRESS",
                headers={"retry-after": "1"},
            )
        try:
            text = self._sealer.unseal(bytes(reply[1]).decode(), place)
        except Unsealable:
            raise TidegateError("The answer was encrypted with another data key") from None
        return msgspec.msgpack.decode(text, type=KeptAnswer)

    async def _renew(self, place: str, held: list[str]) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(AdmissionUnavailable):
                async with _reached():
                    await self._settle(keys=[place], args=[*held, _ms(HOLD_S)])

    def _free(self, place: str, held: list[str]) -> None:
        """Free a key beside the request, which may have been cancelled; else it lapses."""

        async def free() -> None:
            with suppress(AdmissionUnavailable):
                async with _reached():
                    await self._settle(keys=[place], args=[*held, 0])

        task = asyncio.create_task(free())
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    """Around one step with the limits server.

    Raises:
        AdmissionUnavailable: If it does not answer within two seconds.
    """
    try:
        async with asyncio.timeout(STEP_S):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("the limits server is away", extra={"error": type(error).__name__})
        raise AdmissionUnavailable("The server that keeps idempotency keys is away") from None
