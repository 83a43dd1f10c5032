"""Where uploads lie: their records on the system of record, their content in the object store.

::

    tg:{uploads}:upload:<id>       hash: a record, see shapes.py
    tg:{uploads}:of:<tenant>       sorted set of a tenant's ids; ids sort by time
    tg:{uploads}:due               sorted set of ids by the millisecond at which they may have to go
    tg:{uploads}:lifecycle         who deletes now
    tg:{uploads}:strays            where the look for strays goes on

    uploads/<tenant>/<id>          object: the content of an upload
    results/<tenant>/<job>         object: the sealed result of a job
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from control_plane.patterns import exactly

UPLOAD_ID: Final = exactly("upl_[0-9a-f]{32}")
"""Ids sort by the time they were made."""
SCHEME: Final = "tidegate://uploads/"
"""What the URL of an uploaded object begins with; its id follows."""

_PREFIX: Final = "tg:{uploads}:"
DUE: Final = _PREFIX + "due"
LIFECYCLE: Final = _PREFIX + "lifecycle"
STRAYS: Final = _PREFIX + "strays"

UPLOADS: Final = "uploads"
RESULTS: Final = "results"

_URL: Final = re.compile(re.escape(SCHEME) + "(upl_[0-9a-f]{32})")


def new_id() -> str:
    """An id: 48 bits of milliseconds and 80 random ones."""
    return f"upl_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def record(upload_id: str) -> str:
    """Key of a record."""
    return f"{_PREFIX}upload:{upload_id}"


def owned(tenant: str) -> str:
    """Key of the index of a tenant's uploads."""
    return f"{_PREFIX}of:{tenant}"


def content(tenant: str, upload_id: str) -> str:
    """Key of the object of an upload."""
    return f"{UPLOADS}/{tenant}/{upload_id}"


def result(tenant: str, job_id: str) -> str:
    """Key of the object of a job's result."""
    return f"{RESULTS}/{tenant}/{job_id}"


def url(upload_id: str) -> str:
    """What inputs name an upload by."""
    return SCHEME + upload_id


def id_of(address: str) -> str | None:
    """The id that the URL of an uploaded object names; None if it is no such URL."""
    match = _URL.fullmatch(address)
    return None if match is None else match[1]
