"""What a version takes as a job, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from msgspec import Struct

from control_plane.admission.limits.permit import Price
from control_plane.choice import Chooser
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import Envelope
from control_plane.errors import Fault, InvalidInput, NotAvailable
from control_plane.jobs.shapes import Task
from control_plane.types import PinnedObject

SUBMISSION_MS: Final = 5000
"""What a submission takes at most, milliseconds; the permit ends with it."""


class Accepted(Struct, frozen=True):
    """Inputs that a version takes.

    Attributes:
        inputs: Completed; of a batch the items as they came.
        object: The input that names an object; None without one.
    """

    inputs: Any
    object: str | None = None


def accepted_by(
    chooser: Chooser, task: Task, max_batch: int
) -> Callable[[Envelope, CompiledContract], Accepted]:
    """What decides whether a version takes a job's inputs.

    Args:
        chooser: Validates single inputs.
        task: What is done with them.
        max_batch: Items that the caller's batch may have.
    """
    if task is Task.BATCH:
        return partial(_batch, max_batch)
    return partial(_single, chooser)


def _batch(max_batch: int, envelope: Envelope, contract: CompiledContract) -> Accepted:
    if envelope.explain:
        raise NotAvailable("Explanations are not offered", details={"option": "explain"})
    if not contract.is_answered_at_once:
        message = "The model takes objects, one a job"
        raise NotAvailable(message, details={"task": str(Task.BATCH)})
    items: Any = envelope.inputs
    if len(items) > max_batch:
        issue = f"has more than {max_batch} items"
        fault = Fault(field="inputs", issue=issue, path="/inputs", received_length=len(items))
        raise InvalidInput([fault])
    return Accepted(items)


def _single(chooser: Chooser, envelope: Envelope, contract: CompiledContract) -> Accepted:
    stream, schema, given = contract.stream, contract.job_inputs, envelope.inputs
    if stream is None or schema is None or not isinstance(given, dict):
        return _at_once(chooser, envelope, contract)
    if contract.is_answered_at_once and stream.object not in given:
        return _at_once(chooser, envelope, contract)
    return Accepted(chooser.valid(envelope, contract, schema), stream.object)


def _at_once(chooser: Chooser, envelope: Envelope, contract: CompiledContract) -> Accepted:
    inputs = chooser.valid(envelope, contract, contract.inputs)
    contract.encode(inputs)
    return Accepted(inputs)


def price_of(
    contract: CompiledContract,
    task: Task,
    accepted: Accepted,
    objects: Mapping[str, PinnedObject],
) -> Price:
    """What a job costs: a prediction's units for each item, or an object's by its size.

    Args:
        contract: Of the version.
        task: What is done.
        accepted: Its inputs.
        objects: What they name, by input.
    """
    count = len(accepted.inputs) if task is Task.BATCH else 1
    units = contract.contract.units * count
    if contract.stream is not None and objects:
        units = sum(contract.stream.price(each.size) for each in objects.values())
    return Price(
        contract.ref.name,
        contract.version,
        cost=count,
        units=units,
        deadline_ms=SUBMISSION_MS,
        ahead=count == 1 and not objects,
    )
