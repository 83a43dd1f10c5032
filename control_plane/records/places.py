"""Where the records lie that every room shares.

All of the system of record is under one hash tag, so that a change, its indexes and its audit
entry are one atomic step on a cluster, too::

    tg:{records}:audit               stream, append-only
    channel tg:{records}:changes     what changed: ``tenant:<id>``, ``model:<name>``, …

Rooms keep their own records under :data:`PREFIX`; see ``admission/layout.py`` and
``routing/layout.py``.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "tg:{records}:"
AUDIT: Final = PREFIX + "audit"
CHANGES: Final = PREFIX + "changes"
