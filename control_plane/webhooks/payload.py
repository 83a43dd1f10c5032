"""From a job that has ended to the messages that tell of it: no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from control_plane.egress.address import read_url
from control_plane.errors import TidegateError
from control_plane.webhooks.shapes import Endpoint, Event, Message, Told


def messages(
    job: str, tenant: str, event: Event, told: Told, endpoints: Iterable[Endpoint]
) -> list[Message]:
    """A message for each receiver, with the same id however often it is asked for.

    Args:
        job: Its id.
        tenant: Whose it is.
        event: How it ended.
        told: What is told of it.
        endpoints: Of the tenant.
    """
    body = _body(event, told)
    made = [
        Message(message_id(job, endpoint.id), tenant, job, endpoint.id, event, body)
        for endpoint in endpoints
        if endpoint.wants(event)
    ]
    if told.webhook_url is not None:
        own, url = message_id(job, ""), told.webhook_url
        made.append(Message(own, tenant, job, origin(url), event, body, url))
    return made


def message_id(job: str, endpoint: str) -> str:
    """Id of the delivery of a job's end to an endpoint, or with "" to the job's own address."""
    digest = hashlib.sha256(endpoint.encode()).hexdigest()[:12]
    return f"msg_{job.removeprefix('job_')}_{digest}"


def origin(url: str) -> str:
    """What tells the receivers of jobs' own addresses apart: scheme, host and port, digested."""
    try:
        read = read_url(url)
        text = f"{read.scheme}://{read.authority}"
    except TidegateError:
        text = url
    return "url_" + hashlib.sha256(text.encode()).hexdigest()[:24]


def _body(event: Event, told: Told) -> bytes:
    moment = datetime.fromtimestamp(told.ended_ms / 1000, UTC)
    timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": event, "timestamp": timestamp, "data": told.data})
