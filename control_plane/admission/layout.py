"""Names of the keys in the two servers: what lies where.

The system of record (every write synced; see ``records/places.py``)::

    tg:{records}:tier:<name>         JSON of a Tier          tg:{records}:tiers            index
    tg:{records}:tenant:<id>         JSON of a Tenant        tg:{records}:tenants          index
    tg:{records}:key:<id>            JSON of an ApiKey       tg:{records}:keys:<tenant>    index
    tg:{records}:tier-tenants:<name> set of the ids of the tenants in a tier
    tg:{records}:closed              set of the ids of deleted tenants, whose usage stays
    tg:{records}:closed:<id>         JSON of a deleted Tenant, as it was last

An index is a sorted set of score 0, so that it is read in the order of its members.

Counters and caches (synced every second), a hash tag a subject (``t:<tenant>`` or
``a:<network>``)::

    tg:{processes}                   sorted set: process by when it was last there, epoch seconds
    tg:{<subject>}:state             hash: see limits.lua
    tg:{<subject>}:permits           hash: permit id → what it reserved
    tg:{<subject>}:expiry            sorted set: permit id by the time at which it lapses
    tg:{<subject>}:usage:<YYYYMMDD>  hash: <HH>|<client>|<model>|<version>|<measure> → number
    tg:{<subject>}:watch:<client>:<hour>   hash: minute of the hour → what it did, see watch.py
    tg:{<subject>}:hours:<client>    hash: hour since 1970 → requests, for eight days
    tg:{a:<network>}:valid:<hour>    HyperLogLog of the keys taken from an address
    tg:{a:<network>}:refused:<hour>  HyperLogLog of the keys refused
    tg:{<subject>}:blocks            hash: client → mark and JSON of a Block; all: ``*``
    tg:watched:<minute>              set: <subject>|<client> seen in that minute
    tg:blocks                        index of <subject>|<client> with a block
    tg:judge                         who judges now
    tg:{<subject>}:refunded:<job>    units that went back for a job, kept for a week
    tg:refunder                      who refunds now
"""

from __future__ import annotations

from typing import Final

from control_plane.records.places import PREFIX

TIERS: Final = PREFIX + "tiers"
TENANTS: Final = PREFIX + "tenants"
CLOSED: Final = PREFIX + "closed"
PROCESSES: Final = "tg:{processes}"
BLOCKS: Final = "tg:blocks"
JUDGE: Final = "tg:judge"
REFUNDER: Final = "tg:refunder"


def tier_record(name: str) -> str:
    """Key of a tier."""
    return f"{PREFIX}tier:{name}"


def tenant_record(tenant: str) -> str:
    """Key of a tenant."""
    return f"{PREFIX}tenant:{tenant}"


def closed_record(tenant: str) -> str:
    """Key of a deleted tenant."""
    return f"{CLOSED}:{tenant}"


def key_record(key_id: str) -> str:
    """Key of an API key."""
    return f"{PREFIX}key:{key_id}"


def keys_of(tenant: str) -> str:
    """Key of the index of a tenant's API keys."""
    return f"{PREFIX}keys:{tenant}"


def tier_tenants(name: str) -> str:
    """Key of the set of a tier's tenants, without which a tier in use could be deleted."""
    return f"{PREFIX}tier-tenants:{name}"


def state(subject: str) -> str:
    """Key of a subject's rate, permits in flight, quota and penalties."""
    return f"tg:{{{subject}}}:state"


def permits(subject: str) -> str:
    """Key of a subject's open permits."""
    return f"tg:{{{subject}}}:permits"


def expiry(subject: str) -> str:
    """Key of the times at which a subject's permits lapse."""
    return f"tg:{{{subject}}}:expiry"


def usage(subject: str, day: str = "") -> str:
    """Key of a subject's usage on a day (``YYYYMMDD``, UTC); without a day the prefix of all."""
    return f"tg:{{{subject}}}:usage:{day}"


def watch(subject: str, client: str, hour: int) -> str:
    """Key of what a client did in an hour (hours since 1970)."""
    return f"tg:{{{subject}}}:watch:{client}:{hour}"


def hours(subject: str, client: str) -> str:
    """Key of the requests of a client by the hour."""
    return f"tg:{{{subject}}}:hours:{client}"


def credentials(network: str, kind: str, hour: int) -> str:
    """Key of the keys, ``valid`` or ``refused``, that came from an address in an hour."""
    return f"tg:{{a:{network}}}:{kind}:{hour}"


def blocks(subject: str) -> str:
    """Key of a subject's blocks."""
    return f"tg:{{{subject}}}:blocks"


def refunded(subject: str, job: str) -> str:
    """Key of the mark that a job was refunded."""
    return f"tg:{{{subject}}}:refunded:{job}"


def watched(minute: int) -> str:
    """Key of the clients seen in a minute (minutes since 1970)."""
    return f"tg:watched:{minute}"
