"""A job as it goes, as server-sent events (WHATWG HTML, section 9.2).

Only the newest state is ever sent: what a slow reader misses is not kept for it, and its stream
costs no more memory than any other. A stream ends with its job, with the key that opened it, and
when the process is asked to stop.
"""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import suppress
from typing import Final

import msgspec
from litestar.types import HTTPScope, Receive, Scope, Send
from msgspec import Struct

from control_plane.admission.limits.permit import Permit
from control_plane.admission.principal import Principal
from control_plane.api.job_views import view
from control_plane.api.visit import identify
from control_plane.errors import AdmissionUnavailable, InvalidParameter, TidegateError
from control_plane.jobs.shapes import Job
from control_plane.jobs.streams import OpenStream
from control_plane.services import Services

STEP_S: Final = 1.0
"""How often the caller is asked for again, and the stop of the process is looked for."""
COMMENT_S: Final = 15.0
"""How often a comment is sent while nothing happens, so that no proxy gives up on the stream."""
RENEW_S: Final = 10.0
LOOK_S: Final = 5.0
"""How often the job is read, whatever was heard."""
DOUBT_S: Final = 15.0
"""How long a stream stays, in silence, whose caller cannot be asked for."""
SEND_S: Final = 30.0
"""How long a reader may take none of what was sent."""
RETRY_MS: Final = 2000
"""When a client may open the stream again, milliseconds."""

_ID: Final = re.compile(r"[0-9]{1,15}")
_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_encode: Final = msgspec.json.Encoder().encode


class Listener(Struct, frozen=True):
    """Who listens.

    Attributes:
        principal: As it was when it came.
        scope: Of its request.
        permit: Of its request, ended as soon as the stream is open.
    """

    principal: Principal
    scope: HTTPScope
    permit: Permit


def read_last_id(value: str | None) -> int:
    """The header Last-Event-ID: the revision that the client has seen; 0 without one.

    Raises:
        InvalidParameter: If it is the id of no event.
    """
    if value is None or value == "":
        return 0
    if not _ID.fullmatch(value):
        raise InvalidParameter("Last-Event-ID", "is of no event of this job", value)
    return int(value)


class Events:
    """The ASGI application of one stream."""

    def __init__(
        self,
        services: Services,
        listener: Listener,
        job: Job,
        last_id: int,
        draining: threading.Event,
    ) -> None:
        """Make ready to tell.

        Args:
            services: Of this process.
            listener: Who is told.
            job: Of which job, as it is now.
            last_id: Revision that the listener has seen; 0 for none.
            draining: Set when the process is asked to stop.
        """
        self._services = services
        self._listener = listener
        self._job = job
        self._seen = last_id
        self._state: str | None = None
        self._draining = draining
        self._clock = asyncio.get_running_loop().time
        self._sent = self._renewed = self._looked = self._known = self._clock()
        self._is_sure = True
        self._is_over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell what happens until the job has ended.

        Who has seen the end already gets 204, which tells a browser not to come again.

        Raises:
            TidegateError: TOO_MANY_OPEN or ADMISSION_UNAVAILABLE, before anything was sent.
        """
        if self._job.state.is_end and self._seen == self._job.revision:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        async with self._services.streams.opened(self._listener.principal.tenant) as stream:
            self._listener.permit.refund(failed=False)  # hours of listening are no request
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if self._listener.scope["state"]["exchange"].method != "HEAD":
                with suppress(TimeoutError):
                    await self._write(send, b"retry: %d\n\n" % RETRY_MS)
                    await self._tell(send, stream)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Send, stream: OpenStream) -> None:
        with self._services.jobs.changes.heard(self._job.id) as changed:
            while await self._is_welcome(stream):
                if self._is_sure:
                    await self._look(changed)
                    await self._say(send)
                if self._is_over:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(STEP_S):
                        await changed.wait()

    async def _look(self, changed: asyncio.Event) -> None:
        """Read the job if it may have changed; while that cannot be, it stays as it was."""
        if not changed.is_set() and self._clock() < self._looked + LOOK_S:
            return
        changed.clear()
        self._looked = self._clock()
        try:
            tenant = self._listener.principal.tenant
            self._job = await self._services.jobs.read(tenant, self._job.id)
        except TidegateError as error:
            self._is_over = error.code == "NOT_FOUND"

    async def _say(self, send: Send) -> None:
        """Send what is new, or a comment at times."""
        job = self._job
        if job.revision > self._seen:
            name = b"progress" if job.state == self._state else b"state"
            fields = (job.revision, name, _encode(view(job)))
            await self._write(send, b"id: %d\nevent: %b\ndata: %b\n\n" % fields)
            self._seen, self._state = job.revision, job.state
            self._is_over = job.state.is_end
        elif self._clock() > self._sent + COMMENT_S:
            await self._write(send, b": still there\n\n")

    async def _is_welcome(self, stream: OpenStream) -> bool:
        """Whether the stream may go on: for this caller, in this process."""
        now = self._clock()
        if self._draining.is_set():
            return False
        try:
            is_known = await self._is_known()
            if now > self._renewed + RENEW_S:
                self._renewed = now
                await stream.renew()
        except AdmissionUnavailable:
            self._is_sure = False
            return now < self._known + DOUBT_S
        except TidegateError:
            return False
        self._is_sure, self._known = True, now
        return is_known

    async def _is_known(self) -> bool:
        """Whether the caller may still see the job.

        Raises:
            TidegateError: If it may call no more, or cannot be asked for.
        """
        listener, scope = self._listener, self._listener.scope
        exchange = scope["state"]["exchange"]
        now = await identify(self._services, dict(scope["headers"]), scope, exchange)
        return now.tenant == listener.principal.tenant and now.may("jobs", self._job.model)

    async def _write(self, send: Send, data: bytes) -> None:
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        self._sent = self._clock()
