"""Ends the lives of versions whose sunset has passed.

Every admin process may do it at the same time: what another has done already changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from control_plane.errors import TidegateError
from control_plane.records.transaction import SYSTEM
from control_plane.routing.decisions.lives import sunsets_passed
from control_plane.routing.state import ModelState
from control_plane.routing.store import ModelStore

log = logging.getLogger(__name__)

ROUND_S: Final = 1.0


class Sunsets:
    """Watches for sunsets, in the admin process."""

    def __init__(self, store: ModelStore, states: Callable[[], Mapping[str, ModelState]]) -> None:
        """Watch, once started.

        Args:
            store: Where lives end; its clock decides.
            states: Of the models, as this process knows them.
        """
        self._store = store
        self._states = states

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self.round()
            except TidegateError as error:
                log.warning("sunsets are not looked after now", extra={"fault": error.code})

    async def round(self) -> None:
        """Retire every version that is due.

        Raises:
            TidegateError: If the system of record is away.
        """
        now = self._store.now()
        decide = partial(sunsets_passed, now=now)
        for state in self._states().values():
            if decide(state).state != state:
                await self._store.change(state.name, decide, SYSTEM)
                log.info("sunset", extra={"model": state.name})
