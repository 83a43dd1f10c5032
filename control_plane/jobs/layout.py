"""Names of the keys of jobs on the system of record, which syncs every write.

All are under one hash tag, so that each change of a job is one script, on a cluster, too; the
scripts make the names below ``tg:{jobs}:`` themselves. Times are epoch milliseconds by the
server's clock::

    job:<id>                       hash of small fields, 64 bytes each at most for the server to
                                   keep it packed: tenant client model version task size priority
                                   units state progress attempts fence revision created …
    spec:<id>                      sealed Spec; deleted at the end unless the job failed
    result:<id>                    key in the object store, a line feed, sealed result or envelope
    hook:<id>                      sealed address of the job's own webhook, if it has one
    pending                        hash: tenant → its jobs that have not ended
    idem:<tenant>:<key digest>     "<job id> <digest of the request>", for 24 hours

Where a job that has not ended lies, one of (its field ``place``)::

    queue:<size>:<priority>:<tenant>   sorted set by id: who waits, the first come first
    delayed                        sorted set by the time from which it may be taken
    suspects:<size>                sorted set by id: lost with two workers, taken one at a time
    leases                         sorted set by the time at which the worker's hold lapses

Who is next::

    ring:<size>:<priority>         sorted set of the tenants with jobs in such a queue, by how many
                                   of theirs run, and of equals by when each was served or came
    running:<size>                 hash: tenant → its jobs that run
    served                         number of the latest turn of a tenant
    turn:<size>                    place in the cycle of priorities
    suspect:<size>                 id of the suspect that runs
    waiting                        hash: <size>:<priority> → jobs in such queues

Lists, sorted sets in the order of the ids::

    of:<tenant>                    all jobs of a tenant
    of:<tenant>:<state>:<model>    the same apart
    models:<tenant>                hash: model → the tenant's jobs of it
    dead                           failed for good after the last attempt

Times at which something is due, and what is read once and deleted by who read it::

    expiries                       sorted set by the time at which a job expires
    kept                           sorted set by the time at which an ended job is forgotten
    outbox                         stream {job, tenant, state}: one entry an end
    refunds                        stream {job, tenant, client, model, version, units}

Channels: ``wake`` (a size of which a job can be taken), ``stops`` (a job that its worker has to
leave), ``change:<id>`` (the revision, at each visible change).
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "tg:{jobs}:"
OUTBOX: Final = PREFIX + "outbox"
REFUNDS: Final = PREFIX + "refunds"
WAKE: Final = PREFIX + "wake"
STOPS: Final = PREFIX + "stops"
WAITING: Final = PREFIX + "waiting"
DELAYED: Final = PREFIX + "delayed"
LEASES: Final = PREFIX + "leases"
KEPT: Final = PREFIX + "kept"
DEAD: Final = PREFIX + "dead"


def job(job_id: str) -> str:
    """Key of a job."""
    return f"{PREFIX}job:{job_id}"


def spec(job_id: str) -> str:
    """Key of what is to be done."""
    return f"{PREFIX}spec:{job_id}"


def result(job_id: str) -> str:
    """Key of what came out."""
    return f"{PREFIX}result:{job_id}"


def suspects(size: str) -> str:
    """Key of the jobs of a size that were lost with two workers and wait."""
    return f"{PREFIX}suspects:{size}"


def of(tenant: str) -> str:
    """Key of the list of a tenant's jobs."""
    return f"{PREFIX}of:{tenant}"


def of_kind(tenant: str, state: str, model: str) -> str:
    """Key of the list of a tenant's jobs in a state and of a model."""
    return f"{PREFIX}of:{tenant}:{state}:{model}"


def models(tenant: str) -> str:
    """Key of the models of which a tenant has jobs."""
    return f"{PREFIX}models:{tenant}"


def change(job_id: str) -> str:
    """Channel on which a job's revision is told."""
    return f"{PREFIX}change:{job_id}"


def hook(job_id: str) -> str:
    """Key of the address that is told of a job's end."""
    return f"{PREFIX}hook:{job_id}"


def hook_place(job_id: str) -> str:
    """Place that this address is sealed for."""
    return f"job:{job_id}:hook"


def spec_place(job_id: str) -> str:
    """Place that a spec is sealed for."""
    return f"job:{job_id}:spec"


def result_place(job_id: str) -> str:
    """Place that a result, or the envelope of an error, is sealed for."""
    return f"job:{job_id}:result"
