"""The settings: their types, ranges and defaults; ``environment.py`` reads them.

``docs/settings.md`` is generated from the sentences below.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from control_plane.abuse import AbuseRules
from control_plane.issuers import OidcIssuer
from control_plane.patterns import exactly
from control_plane.setting_groups import (
    EgressSettings,
    JobSettings,
    UploadSettings,
    WebhookSettings,
)

_PORT: Final = (
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_TARGET: Final = exactly(r"[A-Za-z0-9_.\-\[\]:]{1,255}:" + _PORT)
_NETWORK: Final = exactly("[0-9a-fA-F:.]+(/[0-9]{1,3})?")
_REDIS: Final = exactly("(redis|rediss|unix)://.+")


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of the control plane; the field ``triton_urls`` is ``TIDEGATE_TRITON_URLS``.

    What only one concern needs is in a group: ``jobs.lease_s`` is ``TIDEGATE_JOBS_LEASE_S``.
    """

    triton_urls: Annotated[
        tuple[Annotated[str, Meta(pattern=_TARGET)], ...],
        Meta(
            min_length=1,
            max_length=64,
            description=(
                "gRPC addresses of the Triton servers, `host:port`, comma separated. "
                "Calls go to a healthy one with the fewest calls in flight."
            ),
        ),
    ]
    redis_url: Annotated[
        str,
        Meta(
            pattern=_REDIS,
            max_length=2048,
            description=("The system of record: a Valkey or Redis that syncs every write."),
        ),
    ]
    limits_redis_url: Annotated[
        Annotated[str, Meta(pattern=_REDIS, max_length=2048)] | None,
        Meta(description="Counters and caches; by default the system of record."),
    ] = None
    model_repository: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description=("Folder of the model repository whose contracts are served."),
        ),
    ] = "model_repository"
    key_pepper: Annotated[
        str,
        Meta(
            min_length=32,
            max_length=1024,
            description=(
                "Secret of the keyed hashes of API keys, at least 32 characters; "
                "another one makes every key invalid."
            ),
        ),
    ]
    data_key: Annotated[
        str,
        Meta(
            pattern=exactly("[A-Za-z0-9_-]{43}=?"),
            description=(
                "Secret that encrypts stored payloads: 32 bytes, base64url "
                "(`openssl rand -base64 32 | tr +/ -_`)."
            ),
        ),
    ]
    bootstrap_admin_key: Annotated[
        str,
        Meta(
            pattern=exactly("tg_live_[a-z2-7]{12}_[A-Za-z0-9]{33,64}"),
            description=(
                "API key that may use the whole operators' API, from `tidegate keys mint`; "
                "valid as long as it is set."
            ),
        ),
    ]
    oidc_issuers: Annotated[
        tuple[OidcIssuer, ...],
        Meta(
            max_length=16,
            description=(
                "OpenID providers whose access tokens are taken: a JSON list; "
                "see `docs/operations.md`."
            ),
        ),
    ] = ()
    abuse_rules: Annotated[
        AbuseRules,
        Meta(description="What is suspicious and what follows, as JSON; see `docs/abuse.md`."),
    ] = AbuseRules()
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(pattern=_NETWORK, max_length=49)], ...],
        Meta(
            max_length=64,
            description=(
                "Networks of the proxies in front, comma separated; X-Forwarded-For counts "
                "only if it comes from one of them."
            ),
        ),
    ] = ()
    default_model: Annotated[
        Annotated[str, Meta(pattern=exactly("[a-z][a-z0-9-]{0,62}"))] | None,
        Meta(
            description=(
                "The model of `POST /api/v1/predict` when the request names none. "
                "Without it, the only model of the repository if there is just one."
            )
        ),
    ] = None
    max_body_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=1_073_741_824,
            description=(
                "Largest request body, bytes; counted before parsing, on chunked bodies too."
            ),
        ),
    ] = 1_048_576
    max_waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description=(
                "Requests that may wait for one model version in one process; "
                "one more is answered 503 OVERLOADED."
            ),
        ),
    ] = 1024
    calls_in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Calls to Triton in flight for one model version in one process and Triton server; "
                "arrivals beyond them share the next call."
            ),
        ),
    ] = 2
    shadow_duty: Annotated[
        float,
        Meta(
            ge=0.01,
            le=1,
            description=(
                "Part of the time in which one process has shadows in flight. Raise it where "
                "Triton has processors, or GPUs, of its own; see `docs/shadow.md`."
            ),
        ),
    ] = 0.05
    feedback_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description=(
                "Predictions that one process keeps each second so that feedback can be given on "
                "them; of one tenant at most half of them."
            ),
        ),
    ] = 20
    feedback_kept_s: Annotated[
        int,
        Meta(ge=60, le=2_592_000, description="Seconds that feedback on a prediction is taken."),
    ] = 86_400
    feedback_per_day: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Predictions on which one tenant may give feedback in a day (UTC).",
        ),
    ] = 10_000
    health_interval_s: Annotated[
        float, Meta(ge=0.05, le=60, description=("Seconds between two looks at a Triton's health."))
    ] = 0.5
    health_timeout_s: Annotated[
        float,
        Meta(
            ge=0.05,
            le=60,
            description=("Seconds after which a Triton that does not answer counts as down."),
        ),
    ] = 1.0
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description=(
                "Seconds that requests in flight get to finish after a stop was asked for."
            ),
        ),
    ] = 20.0
    drain_delay_s: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description=(
                "Seconds between `/ready` turning 503 and the end of accepting connections, "
                "so that load balancers notice first."
            ),
        ),
    ] = 0.0
    keep_alive_s: Annotated[
        int,
        Meta(ge=1, le=3600, description=("Seconds that a connection is kept after an answer.")),
    ] = 75
    access_log: Annotated[
        bool, Meta(description=("Write one JSON line a request to standard output."))
    ] = True
    jobs: JobSettings = JobSettings()
    uploads: UploadSettings = UploadSettings()
    webhooks: WebhookSettings = WebhookSettings()
    egress: EgressSettings = EgressSettings()
