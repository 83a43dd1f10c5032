"""The records of uploads on the system of record; each change is one script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import redis.asyncio as redis

from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.records.pages import Page, cursor, last_of
from control_plane.records.server import reached, read
from control_plane.sealing import Sealer, Unsealable
from control_plane.uploads import layout
from control_plane.uploads.shapes import MARGIN_S, Found, State, Upload, Wish

HOLD_MS: Final = 30_000
"""How long who writes an object may be silent before another may, milliseconds."""

Used = Literal["done", "gone", "waiting"]

_ID: Final = re.compile(layout.UPLOAD_ID)


class UploadRecords:
    """Uploads as they are kept."""

    def __init__(
        self, server: redis.Redis, sealer: Sealer, *, link_s: int, unused_s: int, most: int
    ) -> None:
        """Keep uploads.

        Args:
            server: The system of record.
            sealer: Seals the names of files.
            link_s: Seconds that a signed address is good for.
            unused_s: Seconds after which an object that nothing uses may go.
            most: Uploads that one tenant may have.
        """
        self._server = server
        self._sealer = sealer
        self._link_s, self._unused_ms, self._most = link_s, unused_s * 1000, most
        self._make = server.register_script(_script("make"))
        self._hold = server.register_script(_script("hold"))
        self._use = server.register_script(_script("use"))
        self._remove = server.register_script(_script("remove"))

    async def make(self, tenant: str, wish: Wish) -> Upload:
        """Make an upload that waits for its object.

        Raises:
            TidegateError: TOO_MANY_OPEN, UPLOADS_UNAVAILABLE.
        """
        upload_id = layout.new_id()
        key = layout.record(upload_id)
        name = self._sealer.seal(wish.filename.encode(), key)
        link_ms = self._link_s * 1000
        args: list[str | int] = [upload_id, tenant, wish.media_type, wish.size, wish.sha256, name,
                link_ms, MARGIN_S * 1000, self._most]  # fmt: skip
        async with asked():
            now = int(await self._make(keys=_keys(tenant, upload_id), args=args))
        if not now:
            raise _too_many(self._most)
        return Upload(
            id=upload_id,
            tenant=tenant,
            filename=wish.filename,
            media_type=wish.media_type,
            size=wish.size,
            sha256=wish.sha256,
            state=State.WAITING,
            created_ms=now,
            expires_ms=now + link_ms,
        )

    async def find(self, upload_id: str) -> Upload | None:
        """An upload of any tenant; None if there is none, or it is being deleted.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        return (await self._several([upload_id]))[0] if _ID.fullmatch(upload_id) else None

    async def page(self, tenant: str, after: str | None, limit: int) -> Page[Upload]:
        """Uploads of a tenant, the latest first.

        Raises:
            TidegateError: INVALID_PARAMETER for a cursor of another list, UPLOADS_UNAVAILABLE.
        """
        start = "+" if after is None else "(" + last_of(after, _ID)

        def members() -> Any:
            return self._server.zrevrangebylex(
                layout.owned(tenant), start, "-", start=0, num=limit + 1
            )

        async with asked():
            found: list[bytes] = await read(self._server, members)
        ids = [each.decode() for each in found]
        uploads = [each for each in await self._several(ids[:limit]) if each is not None]
        return Page(uploads, cursor(ids[limit - 1]) if len(ids) > limit else None)

    async def hold(self, upload_id: str, writer: str, length_ms: int = HOLD_MS) -> str:
        """Take, renew or, with a length of 0, give up the right to write an object.

        Returns:
            ``held``, ``taken`` by another or complete, or ``gone``.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with asked():
            reply = await self._hold(keys=[layout.record(upload_id)], args=[writer, length_ms])
        return _text(reply)

    async def complete(self, upload_id: str, found: Found) -> Used:
        """Note that an object is there; of one that is complete already nothing changes.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        return await self._used([upload_id, found.pin, found.sha256, self._unused_ms])

    async def use(self, upload_id: str) -> Used:
        """Note that an object is used, so that it is kept.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        return await self._used([upload_id, "", "", self._unused_ms])

    async def remove(
        self, tenant: str, upload_id: str, step: Literal["begin", "due", "end"]
    ) -> bool:
        """Begin to delete an upload, if it is due, or end it; see ``remove.lua``.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with asked():
            return bool(await self._remove(keys=_keys(tenant, upload_id), args=[upload_id, step]))

    async def due(self, most: int) -> list[tuple[str, str]]:
        """Tenants and ids of uploads whose time has come, those of the longest ago first.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """

        async def step() -> list[tuple[str, str]]:
            seconds, _ = await self._server.time()
            ids = await self._server.zrangebyscore(
                layout.DUE, "-inf", seconds * 1000, start=0, num=most
            )
            pairs = []
            for each in ids:
                tenant: Any = await self._server.hget(layout.record(_text(each)), "tenant")
                pairs.append((_text(tenant or b""), _text(each)))
            return pairs

        async with asked():
            return await read(self._server, step)

    async def known(self, ids: Sequence[str]) -> set[str]:
        """Those of some ids that have a record.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with asked(), self._server.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.exists(layout.record(each))
            found = await pipe.execute()
        return {each for each, there in zip(ids, found, strict=True) if there}

    async def _used(self, args: list[Any]) -> Used:
        async with asked():
            reply = await self._use(keys=[layout.record(args[0]), layout.DUE], args=args)
        used: Used = msgspec.convert(_text(reply), Used)
        return used

    async def _several(self, ids: Sequence[str]) -> list[Upload | None]:
        async def step() -> list[dict[bytes, bytes]]:
            async with self._server.pipeline(transaction=False) as pipe:
                for each in ids:
                    pipe.hgetall(layout.record(each))
                found: list[dict[bytes, bytes]] = await pipe.execute()
                return found

        async with asked():
            found = await read(self._server, step)
        return [self._upload(each) for each in found]

    def _upload(self, found: dict[bytes, bytes]) -> Upload | None:
        values = {name.decode(): text.decode() for name, text in found.items()}
        if not values or values["state"] == State.GOING:
            return None
        sealed = values.pop("filename")
        try:
            name = self._sealer.unseal(sealed, layout.record(values["id"])).decode()
        except Unsealable:
            name = ""
        return msgspec.convert({**values, "filename": name}, Upload, strict=False)


@asynccontextmanager
async def asked() -> AsyncIterator[None]:
    """Around one step with the system of record.

    Raises:
        TidegateError: UPLOADS_UNAVAILABLE if it does not answer within two seconds.
    """
    try:
        async with reached():
            yield
    except AdmissionUnavailable as error:
        raise TidegateError(
            "The server that keeps uploads cannot be reached",
            code="UPLOADS_UNAVAILABLE",
            headers=error.headers,
        ) from error


def _keys(tenant: str, upload_id: str) -> list[str]:
    return [layout.record(upload_id), layout.owned(tenant), layout.DUE]


def _script(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


def _text(reply: Any) -> str:
    return reply if isinstance(reply, str) else bytes(reply).decode()


def _too_many(most: int) -> TidegateError:
    return TidegateError(
        f"The tenant has {most} uploads",
        code="TOO_MANY_OPEN",
        details={"limit": most},
        headers={"retry-after": "60"},
    )
