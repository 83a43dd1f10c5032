"""Holds a contract against Triton's side: what it has loaded, or what ``config.pbtxt`` says."""

from __future__ import annotations

from control_plane.contracts.compiler import CompiledContract
from control_plane.types import ModelSignature, TensorSignature


def disagreements(compiled: CompiledContract, signature: ModelSignature) -> list[str]:
    """Every difference between a contract and the model that Triton has, one sentence each."""
    reasons: list[str] = []
    if signature.max_batch_size < 1:
        reasons.append("max_batch_size is 0: a public model takes batches, set it to 1 or more")
    reasons += _input_reasons(compiled, {tensor.name: tensor for tensor in signature.inputs})
    reasons += _output_reasons(compiled, {tensor.name: tensor for tensor in signature.outputs})
    return reasons


def _input_reasons(compiled: CompiledContract, inputs: dict[str, TensorSignature]) -> list[str]:
    reasons = []
    for name, spec in compiled.contract.tensors.items():
        tensor = inputs.get(name)
        if tensor is None:
            reasons.append(f"the model has no input {name}: it has {_names(inputs)}")
        elif tensor.datatype != spec.datatype:
            reasons.append(f"the input {name} is {tensor.datatype}, the contract says {spec.datatype}")
        elif not _compatible(tuple(spec.shape), tensor.shape):
            reasons.append(
                f"the input {name} has shape {list(tensor.shape)}, the contract says {spec.shape}"
            )
    missing = sorted(inputs.keys() - compiled.contract.tensors.keys())
    reasons += [f"the contract leaves the model's input {name} empty" for name in missing]
    return reasons


def _output_reasons(compiled: CompiledContract, outputs: dict[str, TensorSignature]) -> list[str]:
    answer = compiled.contract.answer
    reasons = [
        f"the model has no output {name}: it has {_names(outputs)}"
        for name in compiled.answers.outputs
        if name not in outputs
    ]
    for warning in answer.warnings:
        tensor = outputs.get(warning.tensor)
        if tensor is not None and (tensor.datatype == "BYTES" or not _compatible((1,), tensor.shape)):
            reasons.append(f"the output {warning.tensor} is not one number: a warning needs that")
    tensor = outputs.get(answer.tensor or "")
    if tensor is None:
        return reasons
    if not tensor.datatype.startswith("FP"):
        reasons.append(f"the output {tensor.name} is {tensor.datatype}, kind {answer.kind} needs FP")
    elif len(tensor.shape) != 1:
        reasons.append(f"the output {tensor.name} has shape {list(tensor.shape)}, expected one dimension")
    elif answer.labels and tensor.shape[0] not in {-1, len(answer.labels)}:
        reasons.append(
            f"the output {tensor.name} has {tensor.shape[0]} elements for {len(answer.labels)} labels"
        )
    elif answer.kind == "regression" and tensor.shape[0] not in {-1, 1}:
        reasons.append(f"the output {tensor.name} has {tensor.shape[0]} elements, expected 1")
    return reasons


def _compatible(wanted: tuple[int, ...], actual: tuple[int, ...]) -> bool:
    return len(wanted) == len(actual) and all(
        right in {-1, left} for left, right in zip(wanted, actual, strict=True)
    )


def _names(tensors: dict[str, TensorSignature]) -> str:
    return ", ".join(sorted(tensors)) or "none"
