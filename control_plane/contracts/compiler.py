"""From a :class:`Contract` to what a request needs, or every reason why it cannot be.

All checks that need no Triton are here; ``check`` compares with Triton's side.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from control_plane.contracts.answer_kinds import Row
from control_plane.contracts.answers import Answer, AnswerDecoder, Codec
from control_plane.contracts.document import Contract
from control_plane.contracts.inputs import InputSchema
from control_plane.contracts.reader import read_contract
from control_plane.contracts.rules import answer_faults, input_schema, tensor_faults
from control_plane.contracts.source import FaultyContract, Source
from control_plane.errors import InvalidInput
from control_plane.types import Backing, EncodedInput, FileFault, ModelRef, Version


class CompiledContract(Struct, frozen=True):
    """A public model version, ready to serve.

    Attributes:
        contract: What its author declared.
        ref: Its public name and version.
        version: The version as text.
        backing: The Triton model and version that serve it.
        card: The model card (``card.yaml``), if there is one.
        inputs: Validates.
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

    def encode(self, inputs: dict[str, Any]) -> EncodedInput:
        """Encode completed inputs; see ``Codec.encode``."""
        return self.codec.encode(inputs)

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
        faults += tensor_faults(source, contract, schema)
    if faults:
        raise FaultyContract(faults)
    answers = AnswerDecoder(contract.answer)
    compiled = CompiledContract(
        contract=contract,
        ref=ModelRef(contract.model, Version.parse(contract.version)),
        version=contract.version,
        backing=backing,
        card=card,
        inputs=InputSchema(schema),
        codec=Codec(contract.tensors, answers),
        answers=answers,
    )
    faults = _example_faults(source, compiled)
    if faults:
        raise FaultyContract(faults)
    return compiled


def _example_faults(source: Source, compiled: CompiledContract) -> list[FileFault]:
    faults = []
    for index, example in enumerate(compiled.contract.examples):
        try:
            compiled.encode(compiled.inputs.complete(example))
        except InvalidInput as error:
            first = error.faults[0]
            message = f"example {index} violates the contract: {first.field} {first.issue}"
            faults.append(source.fault(["examples", index], message, "Make the example valid"))
    return faults
