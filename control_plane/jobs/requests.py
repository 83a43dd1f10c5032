"""What a submission says: the body of ``POST /jobs``, and that of a prediction that becomes one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from control_plane.contracts.envelope import EXPLAIN, WHICH, Envelope, read_envelope
from control_plane.contracts.inputs import InputSchema, json_type
from control_plane.errors import Fault, InvalidInput, MalformedRequest
from control_plane.jobs.shapes import Task

MAX_START_S: Final = 2_592_000
"""How far ahead a job may be told to start: 30 days."""
MAX_ITEMS: Final = 100_000
"""Items of a batch; the tier may allow fewer."""

_OBJECT: Final = {"type": "object"}
_OPTIONS: Final[dict[Task, dict[str, Any]]] = {
    Task.PREDICT: {"explain": EXPLAIN},
    Task.BATCH: {
        "explain": EXPLAIN,
        "return_errors": {
            "enum": ["individual", "all"],
            "default": "individual",
            "description": "individual: each item has its result or its error; all: one that is "
            "bad fails the batch",
        },
        "batch_size": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000,
            "description": "Items of the batch that are under way at once",
        },
    },
    Task.EXPLAIN: {"explain": EXPLAIN},
}
_INPUTS: Final[dict[Task, dict[str, Any]]] = {
    Task.PREDICT: {**_OBJECT, "description": "As the model's contract has them"},
    Task.BATCH: {"type": "array", "items": _OBJECT, "minItems": 1, "maxItems": MAX_ITEMS,
                 "description": "The inputs of each item; validated when the item's turn comes"},
    Task.EXPLAIN: {**_OBJECT, "description": "As the model's contract has them"},
}  # fmt: skip
_Moment = Annotated[datetime, Meta(tz=True)]


class JobRequest(Struct, frozen=True, kw_only=True):
    """What is to be done, and when.

    Attributes:
        envelope: Model, version and inputs; of a batch the list of its items.
        task: What is done with the inputs.
        options: Of the body but ``explain``, which the envelope has.
        webhook_url: Is told of the end.
        start_at_ms: Epoch milliseconds before which it is not begun; 0 for at once.
    """

    envelope: Envelope
    task: Task = Task.PREDICT
    options: dict[str, Any] = {}
    webhook_url: str | None = None
    start_at_ms: int = 0


def body_schema(task: Task) -> dict[str, Any]:
    """JSON Schema of a submission's body."""
    named: dict[str, Any] = {"enum": [str(task)], "default": "predict"}
    return {
        "type": "object",
        "properties": {
            **WHICH,
            "task": named,
            "inputs": _INPUTS[task],
            "options": {
                "type": "object",
                "properties": _OPTIONS[task],
                "additionalProperties": False,
            },
            "webhook_url": {
                "type": "string",
                "maxLength": 2048,
                "pattern": "^https?://[!-~]+$",
                "description": "Is told of the end, beside the tenant's endpoints",
            },
            "start_at": {
                "type": "string",
                "maxLength": 40,
                "description": "RFC 3339, at most 30 days ahead; a moment in the past is now",
            },
            "start_after_s": {
                "type": "number",
                "minimum": 0,
                "maximum": MAX_START_S,
                "description": "The same in seconds from now",
            },
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }


_SCHEMAS: Final = {task: InputSchema(body_schema(task), base=()) for task in Task}


def read_job(body: object, now_ms: int) -> JobRequest:
    """Read the decoded body of a submission.

    Args:
        body: As it came.
        now_ms: Epoch milliseconds, from which a delay counts.

    Raises:
        MalformedRequest: If the body is no JSON object.
        InvalidInput: With every fault around the inputs.
    """
    if not isinstance(body, dict):
        raise MalformedRequest(f"The body is a JSON {json_type(body)}; send an object")
    task = _task(body.get("task", Task.PREDICT))
    schema = _SCHEMAS[task]
    if not schema.accepts(body):
        raise InvalidInput(schema.faults(body))
    options: dict[str, Any] = dict(body.get("options", {}))
    explain = options.pop("explain", task is Task.EXPLAIN)
    return JobRequest(
        envelope=Envelope(
            body["inputs"], body.get("model"), body.get("model_version"), explain=explain
        ),
        task=task,
        options=options,
        webhook_url=body.get("webhook_url"),
        start_at_ms=_start(body, now_ms),
    )


def read_prediction(body: object) -> JobRequest:
    """Read the decoded body of a prediction that is answered by a job.

    Raises:
        MalformedRequest: If the body is no JSON object.
        InvalidInput: If what decides the contract is faulty.
    """
    return JobRequest(envelope=read_envelope(body))


def _task(named: object) -> Task:
    try:
        return Task(named)  # type: ignore[arg-type]
    except ValueError:
        shown = named[:64] if isinstance(named, str) else None
        issue = f"must be one of {', '.join(Task)}"
        raise InvalidInput([_fault("task", issue, shown, list(Task))]) from None


def _start(body: dict[str, Any], now_ms: int) -> int:
    """Epoch milliseconds of the start; 0 for now."""
    if "start_at" in body and "start_after_s" in body:
        raise InvalidInput([_fault("start_after_s", "stands beside start_at: name one of them")])
    if "start_after_s" in body:
        delay_ms = round(body["start_after_s"] * 1000)
        return now_ms + delay_ms if delay_ms else 0
    if "start_at" not in body:
        return 0
    text = body["start_at"]
    try:
        moment = msgspec.convert(text, _Moment)
    except msgspec.ValidationError:
        issue = "must be a moment with its offset (RFC 3339), such as 2026-11-23T10:30:00Z"
        raise InvalidInput([_fault("start_at", issue, text)]) from None
    start_ms = round(moment.timestamp() * 1000)
    if start_ms > now_ms + MAX_START_S * 1000:
        issue = "is more than 30 days ahead"
        raise InvalidInput([_fault("start_at", issue, text)])
    return start_ms if start_ms > now_ms else 0


def _fault(
    field: str, issue: str, received: str | None = None, allowed: list[Any] | None = None
) -> Fault:
    return Fault(field=field, issue=issue, path=f"/{field}", received=received, allowed=allowed)
