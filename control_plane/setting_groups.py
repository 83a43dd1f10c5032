"""Settings that only one concern needs; ``settings.py`` reads them with all others."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from control_plane.patterns import exactly

_NETWORK: Final = exactly("[0-9a-fA-F:.]+(/[0-9]{1,3})?")
_BUCKET: Final = exactly("[a-z0-9][a-z0-9.-]{1,254}(:[0-9]{1,5})?(/[^, ]{0,255})?")


class JobSettings(Struct, frozen=True, kw_only=True):
    """Durable jobs; the field ``lease_s`` is ``TIDEGATE_JOBS_LEASE_S``."""

    durability: Annotated[
        Literal["always", "relaxed"],
        Meta(
            description=(
                "`always`: the start refuses a system of record that does not sync every write. "
                "`relaxed`: it takes one that syncs less often; a crash of it may lose jobs."
            )
        ),
    ] = "always"
    lease_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description=(
                "Seconds after which the job of a worker without a sign of life goes to another."
            ),
        ),
    ] = 10.0
    attempts: Annotated[
        int,
        Meta(ge=1, le=20, description="How often a job is tried before it fails for good."),
    ] = 4
    kept_s: Annotated[
        int,
        Meta(ge=60, le=7_776_000, description="Seconds that a job is kept after its end."),
    ] = 86_400
    pending_per_tenant: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Jobs of one tenant that may wait or run at once."),
    ] = 10_000
    inline_result_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16_777_216,
            description="Results larger than this go to the object store, bytes.",
        ),
    ] = 262_144
    short_slots: Annotated[
        int,
        Meta(ge=1, le=4096, description="Single predictions that one worker works on at once."),
    ] = 128
    long_slots: Annotated[
        int,
        Meta(ge=1, le=256, description="Batches and large files that one worker works on at once."),
    ] = 8
    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description=(
                "Seconds that a worker's jobs get to finish after a stop was asked for; what is "
                "not finished by then is handed back."
            ),
        ),
    ] = 20.0
    streams_per_tenant: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Streams of events that one tenant may have open."),
    ] = 32


class UploadSettings(Struct, frozen=True, kw_only=True):
    """Large files; the field ``store`` is ``TIDEGATE_UPLOADS_STORE``."""

    store: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            pattern=exactly("(s3|gs|az)://.+|[^:]+"),
            description=(
                "Where objects lie: a folder that all processes share, or `s3://bucket/prefix`, "
                "`gs://bucket/prefix`, `az://container/prefix` with the provider's own variables "
                "for credentials."
            ),
        ),
    ] = "objects"
    endpoint: Annotated[
        Annotated[str, Meta(max_length=2048, pattern=exactly("https?://[^/]+"))] | None,
        Meta(description="Address of an S3 server other than Amazon's."),
    ] = None
    max_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_099_511_627_776, description="Largest object, bytes."),
    ] = 4_294_967_296
    link_s: Annotated[
        int, Meta(ge=10, le=86_400, description="Seconds that a signed address is good for.")
    ] = 900
    unused_s: Annotated[
        int,
        Meta(
            ge=60,
            le=2_592_000,
            description="Seconds after which an object that nothing uses is deleted.",
        ),
    ] = 86_400
    open_per_tenant: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Uploads that one tenant may have at once.")
    ] = 1000
    buckets: Annotated[
        tuple[Annotated[str, Meta(pattern=_BUCKET)], ...],
        Meta(
            max_length=64,
            description=(
                "Hosts, with or without a path, of the buckets whose signed https addresses are "
                "taken as inputs, comma separated."
            ),
        ),
    ] = ()
    fetch: Annotated[
        Literal["buckets", "anywhere"],
        Meta(
            description=(
                "`anywhere` takes https addresses of any public host as inputs, "
                "`buckets` those of `TIDEGATE_UPLOADS_BUCKETS` only."
            )
        ),
    ] = "buckets"


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """Webhooks; the field ``timeout_s`` is ``TIDEGATE_WEBHOOKS_TIMEOUT_S``."""

    timeout_s: Annotated[
        float, Meta(ge=0.5, le=60, description="Seconds that a receiver gets to answer.")
    ] = 15.0
    in_flight: Annotated[
        int, Meta(ge=1, le=1024, description="Deliveries of one worker under way at once.")
    ] = 64
    in_flight_per_tenant: Annotated[
        int, Meta(ge=1, le=1024, description="Of these, deliveries of one tenant.")
    ] = 8
    endpoints_per_tenant: Annotated[
        int, Meta(ge=1, le=1000, description="Endpoints that one tenant may have.")
    ] = 16
    kept_s: Annotated[
        int,
        Meta(ge=3600, le=7_776_000, description="Seconds that a delivery is kept after its end."),
    ] = 604_800


class EgressSettings(Struct, frozen=True, kw_only=True):
    """Calls to addresses of clients; the field ``networks`` is ``TIDEGATE_EGRESS_NETWORKS``."""

    networks: Annotated[
        tuple[Annotated[str, Meta(pattern=_NETWORK, max_length=49)], ...],
        Meta(
            max_length=64,
            description=(
                "Networks that may be called though they are not public, comma separated; "
                "with plain http, too."
            ),
        ),
    ] = ()
