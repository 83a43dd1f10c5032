"""Whether a client that could read an answer can read it now."""

from __future__ import annotations

from control_plane.contracts.compatibility.changes import Change
from control_plane.contracts.compatibility.keywords import listed
from control_plane.contracts.document import AnswerSpec
from control_plane.types import ModelSignature, TensorSignature

Signatures = tuple[ModelSignature, ModelSignature]


def answer_changes(
    before: AnswerSpec, after: AnswerSpec, signatures: Signatures | None = None
) -> list[Change]:
    """What changes for those who read answers.

    Args:
        before: The answer that clients read.
        after: The one that is to take its place.
        signatures: What Triton says of both models. Without it, the dimensions of embeddings and
            the types and shapes of passed-on tensors are not compared: contracts do not hold them.
    """
    if before.kind != after.kind:
        what = (
            f"Before: {before.kind}. Now: {after.kind}. The fields of the answer are others. "
            f"Keep the kind, or publish another model."
        )
        return [Change("/answer/kind", what, breaking=True)]
    return [
        *_labels(before.labels or [], after.labels or []),
        *_threshold(before.threshold, after.threshold),
        *_unit(before.unit or "", after.unit or ""),
        *_tensors(before.tensors or [], after.tensors or []),
        *(_outputs(before, after, *signatures) if signatures else []),
    ]


def _labels(before: list[str], after: list[str]) -> list[Change]:
    where = "/answer/labels"
    known, found = set(before), set(after)
    changes = []
    if gone := [label for label in before if label not in found]:
        what = f"Before: {listed(gone)} among the labels. Now: gone. Probabilities lack a field."
        changes.append(Change(where, what, breaking=True))
    if added := [label for label in after if label not in known]:
        what = (
            f"Before: labels without {listed(added)}. Now: with it. "
            f"Predictions take values that a client does not know."
        )
        changes.append(Change(where, what, breaking=True))
    return changes


def _threshold(before: str | None, after: str | None) -> list[Change]:
    where = "/answer/threshold"
    if before == after:
        return []
    if before is None:
        what = f"Before: no threshold. Now: the input {after}. Answers have below_threshold, too."
        return [Change(where, what, adds=True)]
    if after is None:
        what = (
            f"Before: below_threshold by the input {before}. Now: no below_threshold. "
            f"Keep `threshold`."
        )
    else:
        what = (
            f"Before: below_threshold by the input {before}. Now: by the input {after}. "
            f"It does not follow what clients send. Keep the input."
        )
    return [Change(where, what, breaking=True)]


def _unit(before: str, after: str) -> list[Change]:
    where = "/answer/unit"
    if before == after:
        return []
    if not before:
        return [Change(where, f"Before: no unit. Now: {after}. Answers name it.", adds=True)]
    now = f"{after}. The number means another quantity" if after else "none. The field is gone"
    return [Change(where, f"Before: {before}. Now: {now}. Keep the unit.", breaking=True)]


def _tensors(before: list[str], after: list[str]) -> list[Change]:
    where = "/answer/tensors"
    changes = []
    if gone := [name for name in before if name not in after]:
        what = f"Before: outputs with {listed(gone)}. Now: without. Keep passing it on."
        changes.append(Change(where, what, breaking=True))
    if added := [name for name in after if name not in before]:
        what = f"Before: outputs without {listed(added)}. Now: with it."
        changes.append(Change(where, what, adds=True))
    return changes


def _outputs(
    before: AnswerSpec, after: AnswerSpec, was: ModelSignature, now: ModelSignature
) -> list[Change]:
    """Changes of the tensors that clients see the type and shape of."""
    names: list[tuple[str | None, str | None]] = []
    if before.kind == "embedding":
        names = [(before.tensor, after.tensor)]
    if before.kind == "tensors":
        names = [(name, name) for name in before.tensors or [] if name in (after.tensors or [])]
    changes = []
    for old_name, new_name in names:
        old, new = _named(was, old_name), _named(now, new_name)
        if old is None or new is None:
            continue
        changes += _output(old, new, types=before.kind == "tensors")
    return changes


def _output(old: TensorSignature, new: TensorSignature, *, types: bool) -> list[Change]:
    where = "/answer/tensors" if types else "/answer/tensor"
    changes = []
    if types and _json_type(old.datatype) != _json_type(new.datatype):
        what = f"Before: {old.name} is {old.datatype}. Now: {new.datatype}. Keep the datatype."
        changes.append(Change(where, what, breaking=True))
    even = len(old.shape) == len(new.shape)
    if not even or any(a not in {-1, b} for a, b in zip(old.shape, new.shape, strict=True)):
        said = f"Before: {old.name} has the shape {list(old.shape)}. Now: {list(new.shape)}."
        follows = "Vectors of both versions cannot be compared" if not types else "Keep the shape"
        changes.append(Change(where, f"{said} {follows}.", breaking=True))
    return changes


def _json_type(datatype: str) -> str:
    """How clients see a datatype: what is an integer is also a number only to its author."""
    if datatype in {"BOOL", "BYTES"}:
        return datatype
    return "number" if datatype.startswith("FP") else "integer"


def _named(signature: ModelSignature, name: str | None) -> TensorSignature | None:
    return next((tensor for tensor in signature.outputs if tensor.name == name), None)
