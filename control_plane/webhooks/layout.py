"""Where webhooks lie, all on the system of record.

Records (see ``records/places.py``)::

    tg:{records}:webhook:<id>              JSON of an Endpoint
    tg:{records}:webhooks:<tenant>         index of a tenant's endpoints
    tg:{records}:webhook-secret:<tenant>   JSON of a TenantSecret

Deliveries, times in epoch milliseconds; the scripts make the names from :data:`PREFIX`::

    tg:{hooks}:d:<id>                      hash: a delivery; body and address are encrypted
    tg:{hooks}:log:<id>                    list: JSON of its latest attempts
    tg:{hooks}:due:<tenant>:<receiver>     sorted set: waiting deliveries by when they are due
    tg:{hooks}:lane:<tenant>:<receiver>    hash: calls held, whether it is slow, when last served
    tg:{hooks}:lanes:<tenant>              sorted set: receivers by their next turn
    tg:{hooks}:turns                       sorted set: tenants by their next turn
    tg:{hooks}:served:<tenant>             when a tenant was last served
    tg:{hooks}:held                        sorted set: deliveries under way by the end of the lease
    tg:{hooks}:forget                      sorted set: ended deliveries by when they are forgotten
    tg:{hooks}:of:<tenant>                 index of a tenant's deliveries
    tg:{hooks}:of:<tenant>:<receiver>      index of a receiver's

An index is a sorted set of score 0: ids sort by the submission of their job.
"""

from __future__ import annotations

from typing import Final

from control_plane.records.places import PREFIX as RECORDS

PREFIX: Final = "tg:{hooks}:"
TURNS: Final = PREFIX + "turns"


def endpoint_record(endpoint: str) -> str:
    """Key of an endpoint."""
    return f"{RECORDS}webhook:{endpoint}"


def endpoints_of(tenant: str) -> str:
    """Key of the index of a tenant's endpoints."""
    return f"{RECORDS}webhooks:{tenant}"


def secret_record(tenant: str) -> str:
    """Key of a tenant's default secret."""
    return f"{RECORDS}webhook-secret:{tenant}"


def delivery(name: str) -> str:
    """Key of a delivery."""
    return f"{PREFIX}d:{name}"


def attempts(name: str) -> str:
    """Key of a delivery's attempts."""
    return f"{PREFIX}log:{name}"


def deliveries_of(tenant: str, receiver: str | None = None) -> str:
    """Key of the index of a tenant's deliveries, or of those to one receiver."""
    return f"{PREFIX}of:{tenant}" + (f":{receiver}" if receiver else "")
