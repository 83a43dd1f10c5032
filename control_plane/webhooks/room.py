"""What the doors need of webhooks."""

from __future__ import annotations

import redis.asyncio as redis
from msgspec import Struct

from control_plane.egress.destinations import Destinations
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from control_plane.webhooks.deliveries import Deliveries
from control_plane.webhooks.endpoints import Endpoints


class Webhooks(Struct, frozen=True):
    """Endpoints and deliveries.

    Attributes:
        endpoints: Records of receivers, and secrets.
        deliveries: What is sent and was sent.
        destinations: Checks addresses.
    """

    endpoints: Endpoints
    deliveries: Deliveries
    destinations: Destinations


def webhooks_of(server: redis.Redis, settings: Settings, destinations: Destinations) -> Webhooks:
    """The webhooks of a system of record.

    Args:
        server: It must not repeat commands by itself.
        settings: As read at the start.
        destinations: Checks addresses.
    """
    sealer = Sealer(settings.data_key)
    return Webhooks(
        Endpoints(server, sealer, settings.webhooks.endpoints_per_tenant),
        Deliveries(server, sealer, settings.webhooks.kept_s),
        destinations,
    )
