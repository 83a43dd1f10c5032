"""Holds a contract against Triton's side: what it has loaded, or what ``config.pbtxt`` says."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.streams import STATE
from control_plane.types import ModelSignature, TensorSignature

Signatures = dict[str, TensorSignature]


class Disagreement(Struct, frozen=True):
    """One difference between a contract and its model.

    Attributes:
        path: Where the contract says otherwise.
        message: What each of them says.
        remedy: What to change.
    """

    path: tuple[str, ...]
    message: str
    remedy: str


def disagreements(compiled: CompiledContract, signature: ModelSignature) -> list[Disagreement]:
    """Every difference between a contract and the model that serves it."""
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    found = [
        *_inputs(compiled, inputs),
        *_outputs(compiled, outputs),
        *_warnings(compiled, outputs),
        *_state(compiled, inputs, outputs),
    ]
    if signature.max_batch_size < 1:
        remedy = "Set max_batch_size in config.pbtxt to 1 or more"
        found.append(Disagreement((), "the model takes no batches", remedy))
    return found


def _inputs(compiled: CompiledContract, inputs: Signatures) -> Iterator[Disagreement]:
    for name, spec in compiled.contract.tensors.items():
        tensor = inputs.get(name)
        if tensor is None:
            message = f"the model has no input {name}: it has {_names(inputs)}"
            yield Disagreement(("tensors", name), message, "Use the name in config.pbtxt")
        elif tensor.datatype != spec.datatype:
            message = f"the model's input {name} is {tensor.datatype}, not {spec.datatype}"
            remedy = f"Use datatype: {tensor.datatype}"
            yield Disagreement(("tensors", name, "datatype"), message, remedy)
        elif not _fits(tuple(spec.shape), tensor.shape):
            message = f"the model's input {name} has shape {list(tensor.shape)}, not {spec.shape}"
            remedy = f"Use shape: {list(tensor.shape)}; the batch dimension is left out"
            yield Disagreement(("tensors", name, "shape"), message, remedy)
    for name in sorted(inputs.keys() - compiled.contract.tensors.keys()):
        message = f"the model's input {name} is filled by nothing"
        yield Disagreement(("tensors",), message, f"Add {name} to `tensors`")


def _outputs(compiled: CompiledContract, outputs: Signatures) -> Iterator[Disagreement]:
    answer = compiled.contract.answer
    for name in compiled.answers.outputs:
        if name not in outputs:
            message = f"the model has no output {name}: it has {_names(outputs)}"
            yield Disagreement(("answer",), message, "Use a name in config.pbtxt")
    tensor = outputs.get(answer.tensor or "")
    if tensor is None:
        return
    where = ("answer", "tensor")
    if not tensor.datatype.startswith("FP"):
        message = f"the output {tensor.name} is {tensor.datatype}, kind {answer.kind} needs FP"
        yield Disagreement(where, message, "Use kind tensors, or another output")
    elif len(tensor.shape) != 1:
        message = f"the output {tensor.name} has shape {list(tensor.shape)}, expected one dimension"
        yield Disagreement(where, message, "Use kind tensors, or another output")
    elif answer.labels and tensor.shape[0] not in {-1, len(answer.labels)}:
        message = f"{tensor.name} has {tensor.shape[0]} elements for {len(answer.labels)} labels"
        yield Disagreement(("answer", "labels"), message, "Name each class once, in order")
    elif answer.kind == "regression" and tensor.shape[0] not in {-1, 1}:
        message = f"{tensor.name} has {tensor.shape[0]} elements, kind regression takes 1"
        yield Disagreement(where, message, "Use kind embedding or tensors")


def _warnings(compiled: CompiledContract, outputs: Signatures) -> Iterator[Disagreement]:
    for warning in compiled.contract.answer.warnings:
        tensor = outputs.get(warning.tensor)
        if tensor is None:
            continue
        if tensor.datatype == "BYTES" or not _fits((1,), tensor.shape):
            message = f"the output {warning.tensor} is not one number an input"
            yield Disagreement(("answer", "warnings"), message, "Use an output of shape [1]")


def _state(
    compiled: CompiledContract, inputs: Signatures, outputs: Signatures
) -> Iterator[Disagreement]:
    """The output that the next call takes in has to be what the input is."""
    tensors = compiled.contract.tensors.items()
    names = [name for name, spec in tensors if spec.source == STATE and name in inputs]
    given = outputs.get(compiled.contract.answer.state or "")
    if given is None or not names:
        return
    taken = inputs[names[0]]
    if (given.datatype, given.shape) != (taken.datatype, taken.shape):
        message = (
            f"the output {given.name} is {given.datatype} {list(given.shape)}, "
            f"the input {taken.name} {taken.datatype} {list(taken.shape)}"
        )
        yield Disagreement(("answer", "state"), message, "Make them the same")


def _fits(wanted: tuple[int, ...], actual: tuple[int, ...]) -> bool:
    return len(wanted) == len(actual) and all(
        right in {-1, left} for left, right in zip(wanted, actual, strict=True)
    )


def _names(tensors: Signatures) -> str:
    return ", ".join(sorted(tensors)) or "none"
