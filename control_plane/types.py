"""Values that more than one room speaks of.

Rooms never import each other; what they share is here, immutable and free of I/O. What one room
needs of another is a Protocol here, handed in by ``lifespan``.
"""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Final, Protocol

from msgspec import Struct

MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Version(Struct, frozen=True, order=True):
    """A semantic version of a model: ``v2.3.1``.

    Ordered by its three numbers. Pre-release tags are not part of a public version: how far a
    version may be trusted is its life (``Life``), which changes while its name does not.
    """

    major: int
    minor: int
    patch: int

    _PATTERN = re.compile(r"v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read ``vMAJOR.MINOR.PATCH``.

        Raises:
            ValueError: If the text is anything else.
        """
        match = cls._PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"expected vMAJOR.MINOR.PATCH such as v1.0.0, got {text!r}")
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


class FileFault(Struct, frozen=True, order=True):
    """One fault of a model's files.

    Attributes:
        file: Path of the file within the model repository.
        line: Line number from 1; 0 if the whole file is meant.
        message: What is wrong.
        remedy: What to do about it.
    """

    file: str
    line: int
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}. {self.remedy}"


class Life(StrEnum):
    """How far a model version may be trusted, from birth to retirement."""

    EXPERIMENTAL = "experimental"
    STABLE = "stable"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class ModelRef(Struct, frozen=True, order=True):
    """One public model version, as clients name it."""

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Backing(Struct, frozen=True, order=True):
    """What serves a public version: a Triton model and its integer version."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


class Tensor(Struct, frozen=True):
    """A tensor in Triton's wire form.

    Attributes:
        name: The tensor's name in ``config.pbtxt``.
        datatype: Triton's name of the dtype: ``FP32``, ``BYTES``, …
        shape: All dimensions, the batch first.
        data: Little-endian elements, row-major; ``BYTES`` elements carry a 4-byte length each.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


class EncodedInput(Struct, frozen=True):
    """One request's input, ready to be joined with others into a batch.

    Attributes:
        parts: The raw bytes of each tensor, in the order of the codec's tensors.
        shapes: Each tensor's shape without the batch dimension.
        bucket: Of texts that the model pads: the class of their length.

    Only inputs with equal shapes and bucket may share a batch.
    """

    parts: tuple[bytes, ...]
    shapes: tuple[tuple[int, ...], ...]
    bucket: int = 0


class InferenceRequest(Struct, frozen=True):
    """One call to a backend.

    Attributes:
        backing: The Triton model and version.
        inputs: Tensors, batch dimension first.
        outputs: The names of the tensors that the answer needs.
        timeout_s: Seconds after which nobody waits for the answer any more.
    """

    backing: Backing
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    timeout_s: float


class TensorSignature(Struct, frozen=True):
    """Name, dtype and shape (batch dimension left out, -1 = any) of a model's tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelSignature(Struct, frozen=True):
    """What Triton says that a model takes and gives."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    max_batch_size: int


class BatchCodec(Protocol):
    """What inference needs of a compiled contract: joining inputs and splitting outputs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors that the answer is made of."""

    def join(self, items: list[EncodedInput]) -> tuple[Tensor, ...]:
        """Join inputs of equal shapes into one batch."""

    def split(self, outputs: dict[str, Tensor], size: int) -> list[Any]:
        """Split a batch's outputs into one row (or one error) an input."""


class ObjectRule(Struct, frozen=True):
    """What an input takes for an object.

    Attributes:
        media_types: Such as ``audio/wav``; lower case, without parameters.
        max_bytes: Largest size.
    """

    media_types: tuple[str, ...]
    max_bytes: int


class PinnedObject(Struct, frozen=True):
    """An object as it was when it was looked at: what is read later is this, or an error.

    Attributes:
        url: As the client named it.
        media_type: Lower case, without parameters.
        size: Bytes.
        pin: What tells this content from any other at the same address; the store's business.
    """

    url: str
    media_type: str
    size: int
    pin: str


class OpenObject(Protocol):
    """An object that is being read; only the parts asked for are in memory."""

    @property
    def size(self) -> int:
        """Bytes."""

    async def read(self, start: int, length: int) -> bytes:
        """At most so many bytes from a place on; fewer at the end.

        Raises:
            TidegateError: OBJECT_UNUSABLE if it is not what was pinned any more,
                UPLOADS_UNAVAILABLE if its store cannot be reached.
        """


class ObjectSource(Protocol):
    """Where the objects lie that inputs name."""

    async def pin(self, tenant: str, url: str, rule: ObjectRule) -> PinnedObject:
        """Look at an object of a tenant's, or at an address that may be fetched.

        Raises:
            TidegateError: OBJECT_UNUSABLE, ADDRESS_REFUSED or UPLOADS_UNAVAILABLE.
        """

    def open(self, tenant: str, pinned: PinnedObject) -> AbstractAsyncContextManager[OpenObject]:
        """Read what was pinned."""
