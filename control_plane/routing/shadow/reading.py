"""Reads what shadows left on the limits server."""

from __future__ import annotations

from typing import Any

import redis.asyncio as redis

from control_plane.records.server import read
from control_plane.routing import layout
from control_plane.routing.shadow.differences import MOST, Difference, read_difference
from control_plane.routing.shadow.report import ShadowReport, read_report
from control_plane.sealing import Sealer


class ShadowReader:
    """Reports and differences; nothing is found of a shadow that never was.

    Every method raises :class:`AdmissionUnavailable` if the server does not answer a step within
    two seconds.
    """

    def __init__(self, server: redis.Redis, sealer: Sealer) -> None:
        """Read from the limits server.

        Args:
            server: A client of it; its replies are bytes.
            sealer: Decrypts the inputs that are kept.
        """
        self._server = server
        self._sealer = sealer

    async def report(self, rollout: str, version: str) -> ShadowReport:
        """What the shadow of a version and the answers had in common so far."""
        key = layout.shadow(rollout, version)
        counts: Any = await read(self._server, lambda: self._server.hgetall(key))
        return read_report(counts)

    async def differences(self, rollout: str, version: str, limit: int = MOST) -> list[Difference]:
        """The worst disagreements, the worst first.

        Args:
            rollout: Its id.
            version: Of the shadow.
            limit: At most, 1 to 200.
        """
        key = layout.differences(rollout, version)
        found: Any = await read(self._server, lambda: self._server.zrevrange(key, 0, limit - 1))
        return [read_difference(key, text, self._sealer) for text in found]
