"""What clients are shown of models and versions."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from control_plane.routing.shares import Share


class VersionView(Struct, frozen=True):
    """A version of a model.

    Attributes:
        version: Semantic version.
        status: Where its life stands.
        ready: True if it can answer now.
        title: One line for people.
        description: More lines, Markdown.
        anonymous: True if callers without a key may use it.
        units: Price of one input.
        deadline_ms: Upper bound of a request's deadline.
        answer: Kind of the answer.
        card: The model card.
        deprecated_at: Epoch second of its deprecation; null if it is not deprecated.
        sunset_at: Epoch second after which it is retired; null for none.
        info: URL where to read what to do instead; null for none.
        accuracy: Mean score of the feedback that was given; null without any.
    """

    version: str
    status: str
    ready: bool
    title: str
    description: str
    anonymous: bool
    units: int
    deadline_ms: int
    answer: str
    card: dict[str, Any] | None
    deprecated_at: int | None = None
    sunset_at: int | None = None
    info: str | None = None
    accuracy: Share | None = None


class CandidateView(Struct, frozen=True):
    """A version that is tried.

    Attributes:
        version: Semantic version.
        weight: Percent of the subjects that it answers.
        shadow: Percent of the requests that it sees beside the version that answers.
    """

    version: str
    weight: float
    shadow: float


class RolloutView(Struct, frozen=True):
    """A rollout that clients may see.

    Attributes:
        id: As in the header X-Rollout.
        stable: The version that answers everybody else.
        candidates: What is tried.
        sticky_by: What a subject is.
    """

    id: str
    stable: str
    candidates: list[CandidateView]
    sticky_by: str


class ModelView(Struct, frozen=True):
    """A model.

    Attributes:
        name: Public name.
        title: Of the default version.
        default_version: Answers who names none.
        aliases: Names that stand for a version.
        versions: Every version, ascending.
    """

    name: str
    title: str
    default_version: str
    aliases: dict[str, str]
    versions: list[str]


class ModelList(Struct, frozen=True):
    """Every model, and which answers who names none."""

    models: list[ModelView]
    default_model: str | None


class ModelDetail(Struct, frozen=True):
    """A model with its versions in full.

    Attributes:
        name: Public name.
        title: Of the default version.
        default_version: Answers who names none.
        aliases: Names that stand for a version.
        versions: Every version, ascending.
        rollout: The one that runs, if clients may see it.
    """

    name: str
    title: str
    default_version: str
    aliases: dict[str, str]
    versions: list[VersionView]
    rollout: RolloutView | None = None


class VersionList(Struct, frozen=True):
    """The versions of a model."""

    model: str
    default_version: str
    versions: list[VersionView]


class StreamView(Struct, frozen=True):
    """What a job takes and gives that names a large object.

    Attributes:
        object: The input that holds the object's address.
        media_types: What the object may be.
        max_bytes: Largest object.
        units_per_mib: Price of each MiB begun, in units.
        inputs: JSON Schema 2020-12 of the job's ``inputs``.
        answer: JSON Schema of the fields of its result.
    """

    object: str
    media_types: list[str]
    max_bytes: int
    units_per_mib: int
    inputs: dict[str, Any]
    answer: dict[str, Any]


class SchemaView(Struct, frozen=True):
    """What a version takes and gives.

    Attributes:
        model: Public name.
        model_version: The version that was selected.
        inputs: JSON Schema 2020-12 of ``inputs``.
        answer: JSON Schema of the answer in API v1 and of ``data`` in API v2.
        examples: Inputs that work.
        stream: What a job takes and gives that names a large object; None if none may.
    """

    model: str
    model_version: str
    inputs: dict[str, Any]
    answer: dict[str, Any]
    examples: list[dict[str, Any]]
    stream: StreamView | None
