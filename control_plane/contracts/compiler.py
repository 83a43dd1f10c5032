"""From a :class:`Contract` to what a request needs, or every reason why it cannot be.

All checks that need no Triton are here; ``check`` compares with Triton's side.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from control_plane.contracts.answer_kinds import Row
from control_plane.contracts.answers import Answer, AnswerDecoder, Codec
from control_plane.contracts.document import Contract, StreamSpec
from control_plane.contracts.inputs import InputSchema, pointer
from control_plane.contracts.reader import read_contract
from control_plane.contracts.rules import answer_faults, input_schema, tensor_faults
from control_plane.contracts.source import FaultyContract, Source
from control_plane.contracts.stream_rules import stream_faults
from control_plane.contracts.streams import job_schema
from control_plane.errors import Fault, InvalidInput
from control_plane.types import Backing, EncodedInput, FileFault, ModelRef, Version


class CompiledContract(Struct, frozen=True):
    """A public model version, ready to serve.

    Attributes:
        contract: What its author declared.
        ref: Its public name and version.
        version: The version as text.
        backing: The Triton model and version that serve it.
        card: The model card (``card.yaml``), if there is one.
        inputs: Validates; of a model that only takes objects, the inputs of its jobs.
        job_inputs: Validates the inputs of a job that names an object; None if none may.
        codec: Encodes, joins and splits.
        answers: Makes answers of rows.
    """

    contract: Contract
    ref: ModelRef
    version: str
    backing: Backing
    card: dict[str, Any] | None
    inputs: InputSchema
    codec: Codec
    answers: AnswerDecoder
    job_inputs: InputSchema | None = None

    @property
    def stream(self) -> StreamSpec | None:
        """How an object becomes inputs; None if the model takes none."""
        return self.contract.stream

    @property
    def is_answered_at_once(self) -> bool:
        """False of a model that only takes objects, and so only jobs."""
        return self.stream is None or self.stream.into is not None

    def encode(self, inputs: dict[str, Any]) -> EncodedInput:
        """Encode completed inputs; see ``Codec.encode``.

        Raises:
            InvalidInput: If a value does not fit its tensor, or only jobs are answered.
        """
        if self.stream is not None and self.stream.into is None:
            name = self.stream.object
            issue = "names an object, which only a job reads: send it to POST /api/v1/jobs"
            raise InvalidInput([Fault(field=name, issue=issue, path=pointer([name]))])
        return self.codec.encode(inputs)

    def check(self, inputs: dict[str, Any]) -> None:
        """Find out whether inputs are valid and can be encoded, if they ever are.

        Raises:
            InvalidInput: With every fault found.
        """
        filled = self.inputs.complete(inputs)
        if self.is_answered_at_once:
            self.encode(filled)

    def answer(self, row: Row, inputs: dict[str, Any]) -> Answer:
        """Make the answer of a row; see ``AnswerDecoder.answer``."""
        return self.answers.answer(row, inputs)


def compile_contract(
    source: Source, backing: Backing, card: dict[str, Any] | None = None
) -> CompiledContract:
    """Read, check and compile a contract.

    Args:
        source: The text of ``contract.yaml``.
        backing: What serves it, from the place where the file lies.
        card: The model card.

    Raises:
        FaultyContract: With every fault found.
    """
    contract = read_contract(source)
    schema, faults = input_schema(source, contract)
    faults += answer_faults(source, contract)
    if not faults:
        faults += stream_faults(source, contract, schema)
    only_jobs = contract.stream is not None and contract.stream.into is None
    if not faults and not only_jobs:
        faults += tensor_faults(source, contract, schema)
    if faults:
        raise FaultyContract(faults)
    of_jobs = None if contract.stream is None else InputSchema(job_schema(schema, contract.stream))
    answers = AnswerDecoder(contract.answer)
    compiled = CompiledContract(
        contract=contract,
        ref=ModelRef(contract.model, Version.parse(contract.version)),
        version=contract.version,
        backing=backing,
        card=card,
        inputs=of_jobs if of_jobs is not None and only_jobs else InputSchema(schema),
        codec=Codec(contract.tensors, answers),
        answers=answers,
        job_inputs=of_jobs,
    )
    faults = _example_faults(source, compiled)
    if faults:
        raise FaultyContract(faults)
    return compiled


def _example_faults(source: Source, compiled: CompiledContract) -> list[FileFault]:
    faults = []
    for index, example in enumerate(compiled.contract.examples):
        try:
            compiled.check(example)
        except InvalidInput as error:
            first = error.faults[0]
            message = f"example {index} violates the contract: {first.field} {first.issue}"
            faults.append(source.fault(["examples", index], message, "Make the example valid"))
    return faults
