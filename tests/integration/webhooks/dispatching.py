"""A dispatcher in a process of its own: ``python -m … <redis url> <ms ahead>``."""

from __future__ import annotations

import asyncio
import sys

import redis.asyncio as redis
from prometheus_client import CollectorRegistry

from control_plane.environment import load_settings
from control_plane.telemetry.webhook_metrics import WebhookMetrics
from control_plane.webhooks.dispatcher import open_dispatcher
from control_plane.webhooks.outbox import Outbox
from control_plane.webhooks.shapes import Told
from tests.integration.webhooks.house import STREAM
from tests.stack import environment


async def describe(job: str) -> Told:
    """What is told of any job."""
    return Told({"job_id": job, "status": "completed"}, 1_790_000_000_000)


async def main(url: str, ahead_ms: int) -> None:
    """Dispatch until killed."""
    given = environment(redis_url=url, triton_urls="127.0.0.1:1", egress_networks="127.0.0.0/8")
    server = redis.Redis.from_url(url)
    async with open_dispatcher(
        server,
        load_settings(given),
        Outbox(STREAM, patience_ms=500),
        describe,
        WebhookMetrics(CollectorRegistry()),
        ahead_ms=lambda: ahead_ms,
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
