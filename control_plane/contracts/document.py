"""The shape of ``contract.yaml``.

The Structs are the single source: the JSON Schema by which files are checked, and which editors
can use, is generated from them (``schema()``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from control_plane.patterns import exactly
from control_plane.types import ObjectRule

Name = Annotated[str, Meta(pattern=exactly("[a-z][a-z0-9-]{0,62}"))]
_NUMBER: Final = "(0|[1-9][0-9]{0,5})"
VersionText = Annotated[str, Meta(pattern=exactly(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}"))]
TensorName = Annotated[str, Meta(min_length=1, max_length=256)]
FieldName = Annotated[str, Meta(min_length=1, max_length=128)]
MediaType = Annotated[
    str, Meta(max_length=127, pattern=exactly("[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*"))
]
MIB: Final = 1_048_576
Dimension = Annotated[int, Meta(ge=-1, le=1_048_576)]
Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """How inputs become one of Triton's tensors; the batch dimension is left out.

    Attributes:
        source: The input that fills the tensor, or the inputs that fill it column by column.
        datatype: Triton's name of the dtype.
        shape: Dimensions of one input; -1 takes any length.
        bucket_bytes: For texts that the model pads to the longest of a batch: only those whose
            lengths fall into the same bucket of so many bytes share one. 0 for all lengths.
    """

    source: FieldName | Annotated[list[FieldName], Meta(min_length=1, max_length=65_536)]
    datatype: Datatype
    shape: Annotated[list[Dimension], Meta(min_length=1, max_length=8)]
    bucket_bytes: Annotated[int, Meta(ge=0, le=1_048_576)] = 0


class WarningSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A warning for the client that the model itself gives.

    Attributes:
        tensor: An output of one number an input.
        below: The warning is given when the number is below this.
        code: Upper-case name of the warning.
        message: A sentence for the client.
    """

    tensor: TensorName
    below: float
    code: Annotated[str, Meta(pattern=exactly("[A-Z][A-Z0-9_]{2,63}"))]
    message: Annotated[str, Meta(min_length=1, max_length=200, pattern=exactly("[ -~]+"))]


class AnswerSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How Triton's outputs become the answer.

    Attributes:
        kind: Decides the schema of the answer.
        tensor: The output that the answer is made of (all kinds but ``tensors``).
        state: The output that the next call takes in (kind ``segments``).
        tensors: The outputs that are passed on (kind ``tensors``).
        labels: Names of the classes, in the order of the tensor's elements.
        threshold: The input that holds the least confidence (kind ``classification``).
        unit: Unit of the predicted number (kind ``regression``).
        warnings: Warnings that the model gives by further outputs.
    """

    kind: Literal["classification", "regression", "embedding", "tensors", "segments"]
    tensor: TensorName | None = None
    state: TensorName | None = None
    tensors: Annotated[list[TensorName], Meta(min_length=1, max_length=64)] | None = None
    labels: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=128)]],
            Meta(min_length=2, max_length=10_000),
        ]
        | None
    ) = None
    threshold: FieldName | None = None
    unit: Annotated[str, Meta(max_length=64)] | None = None
    warnings: Annotated[list[WarningSpec], Meta(max_length=16)] = []


class ExplainSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Which internal model explains this one, and at what price.

    Attributes:
        explainer: The Triton model that computes explanations.
        method: The method's name.
        field: The input that is explained (text methods).
        units: Price of one explanation.
        max_evaluations: Upper bound of calls to the explained model.
    """

    explainer: str
    method: str
    field: FieldName | None = None
    units: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    max_evaluations: Annotated[int, Meta(ge=1, le=100_000)] = 128


class StreamSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How a large object becomes many inputs; only jobs take one.

    Attributes:
        object: The input of a job that holds the object's address.
        media_types: What the object may be, lower case, without parameters.
        max_bytes: Largest object.
        reader: What cuts it up: ``sentences`` of a text, or the windows of recorded ``speech``.
        into: The input that each part becomes, in place of which a job names the object; None if
            the reader fills the tensors itself, so that there are only jobs.
        units_per_mib: Price of each MiB begun, in units of quota.
    """

    object: FieldName
    media_types: Annotated[list[MediaType], Meta(min_length=1, max_length=32)]
    max_bytes: Annotated[int, Meta(ge=1, le=1_099_511_627_776)]
    reader: Literal["sentences", "speech"]
    into: FieldName | None = None
    units_per_mib: Annotated[int, Meta(ge=0, le=1_000_000)] = 1

    @property
    def rule(self) -> ObjectRule:
        """What the input takes for an object."""
        return ObjectRule(tuple(self.media_types), self.max_bytes)

    def price(self, size: int) -> int:
        """Units that a job with an object of so many bytes costs; an empty one costs one MiB."""
        return self.units_per_mib * max(1, -(-size // MIB))


class Contract(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One public model version, as its author declares it.

    Attributes:
        model: Public name.
        version: Semantic version, unique for the model.
        status: Where the version's life starts.
        title: One line for people.
        description: More lines for people, Markdown.
        anonymous: True if callers without a key may use it.
        deadline_ms: Upper bound of a request's deadline, milliseconds.
        units: Price of one input, in units of quota.
        inputs: JSON Schema 2020-12 of an object; what it does not name is refused.
        examples: Inputs that work; shown in the documentation and run by ``models check``.
        tensors: How inputs become tensors, by tensor name.
        answer: How outputs become the answer.
        explain: How the model is explained, if it can be.
        stream: How a large object becomes inputs, if jobs may name one.
    """

    model: Name
    version: VersionText
    status: Literal["experimental", "stable"]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    description: Annotated[str, Meta(max_length=10_000)] = ""
    anonymous: bool = False
    deadline_ms: Annotated[int, Meta(ge=1, le=3_600_000)]
    units: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    inputs: dict[str, Any]
    examples: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=100)]
    tensors: Annotated[dict[TensorName, TensorSpec], Meta(min_length=1, max_length=64)]
    answer: AnswerSpec
    explain: ExplainSpec | None = None
    stream: StreamSpec | None = None


def schema() -> dict[str, Any]:
    """The JSON Schema of ``contract.yaml``."""
    return msgspec.json.schema(Contract)
