"""The section ``stream``: what it means for jobs, what makes it faulty, what breaks clients."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.contracts.check import disagreements
from control_plane.contracts.compatibility.compare import compare
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.streams import job_answer
from control_plane.contracts.trials import trials
from control_plane.errors import InvalidInput
from control_plane.types import FileFault, ModelSignature, TensorSignature

Compile = Callable[..., CompiledContract]
Document = Callable[..., dict[str, Any]]
FaultsOf = Callable[[str], list[FileFault]]

TEXT = {
    "inputs": {
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": 100},
            "limit": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
        },
    },
    "examples": [{"text": "a"}],
    "tensors": {"T": {"from": "text", "datatype": "BYTES", "shape": [1]}},
    "answer": {"kind": "classification", "tensor": "P", "labels": ["a", "b"]},
    "stream": {
        "object": "document", "media_types": ["text/plain"], "max_bytes": 1000,
        "reader": "sentences", "into": "text", "units_per_mib": 5,
    },
}  # fmt: skip
_MS = {"type": "integer", "minimum": 0, "maximum": 1000, "default": 100}
SPEECH = {
    "inputs": {
        "properties": {
            "threshold": {"type": "number", "minimum": 0.1, "maximum": 0.9, "default": 0.5},
            "min_silence_ms": _MS, "min_speech_ms": _MS, "speech_pad_ms": _MS,
        },
    },
    "examples": [{"audio": "https://storage.example/a.wav"}],
    "tensors": {
        "W": {"from": "windows", "datatype": "FP32", "shape": [4, 576]},
        "S": {"from": "state", "datatype": "FP32", "shape": [2, 128]},
    },
    "answer": {"kind": "segments", "tensor": "P", "state": "N"},
    "stream": {
        "object": "audio", "media_types": ["audio/wav", "audio/flac"], "max_bytes": 10_000_000,
        "reader": "speech",
    },
}  # fmt: skip


def changed(base: dict[str, Any], section: str, **fields: Any) -> dict[str, Any]:
    """A document with fields of a section replaced; None takes a field out."""
    merged = {**base[section], **fields}
    kept = {name: value for name, value in merged.items() if value is not None}
    return {**base, section: kept}


def test_a_job_names_the_object_in_place_of_what_it_becomes(compiled: Compile) -> None:
    of_jobs = compiled(**TEXT).job_inputs
    assert of_jobs is not None
    assert of_jobs.complete({"document": "x"}) == {"document": "x", "limit": 0.5}
    for wrong in ({}, {"text": "a"}, {"document": ""}, {"document": "x", "text": "a"}):
        with pytest.raises(InvalidInput):
            of_jobs.complete(wrong)


def test_the_text_itself_is_answered_as_ever(compiled: Compile) -> None:
    contract = compiled(**TEXT)
    assert contract.is_answered_at_once
    assert contract.encode(contract.inputs.complete({"text": "a"})).parts
    fields = {fault.field for fault in contract.inputs.faults({"document": "x"})}
    assert fields == {"text", "document"}


def test_a_model_of_objects_alone_says_where_they_are_taken(compiled: Compile) -> None:
    contract = compiled(**SPEECH)
    assert not contract.is_answered_at_once
    assert contract.inputs is contract.job_inputs
    with pytest.raises(InvalidInput) as caught:
        contract.encode(contract.inputs.complete({"audio": "x"}))
    [fault] = caught.value.faults
    assert (fault.path, "POST /api/v1/jobs" in fault.issue) == ("/inputs/audio", True)


def test_a_contract_without_a_stream_takes_no_object(compiled: Compile) -> None:
    assert (compiled().stream, compiled().job_inputs) == (None, None)


@pytest.mark.parametrize(
    ("size", "units"), [(0, 5), (1, 5), (2**20, 5), (2**20 + 1, 10), (10 * 2**20, 50)]
)
def test_each_mib_begun_is_paid(compiled: Compile, size: int, units: int) -> None:
    stream = compiled(**TEXT).stream
    assert stream is not None
    assert stream.price(size) == units
    assert (stream.rule.media_types, stream.rule.max_bytes) == (("text/plain",), 1000)


def test_the_result_of_a_job_is_described(compiled: Compile) -> None:
    for base, fields in ((TEXT, {"sentences", "summary"}),
                         (SPEECH, {"segments", "duration_s", "speech_s"})):  # fmt: skip
        contract = compiled(**base)
        assert contract.stream is not None
        assert job_answer(contract.stream, contract.answers.kind).keys() == fields


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown reader": (changed(TEXT, "stream", reader="poems"), "reader", "poems|sentences"),
    "into no input": (changed(TEXT, "stream", into="words"), "into", "no input words"),
    "into a number": (changed(TEXT, "stream", into="limit"), "into", "no text of at most"),
    "into nothing": (changed(TEXT, "stream", into=None), "stream", "fills nothing"),
    "object an input": (changed(TEXT, "stream", object="limit"), "object", "an input already"),
    "type twice": (
        changed(TEXT, "stream", media_types=["text/plain"] * 2), "media_types", "stands twice"),
    "no type": (changed(TEXT, "stream", media_types=[]), "media_types", "less than 1 item|\\[\\]"),
    "type of upper case": (
        changed(TEXT, "stream", media_types=["Text/Plain"]), "Text/Plain", "Text/Plain"),
    "no bytes": (changed(TEXT, "stream", max_bytes=0), "max_bytes", "minimum of 1"),
    "conditions": (
        changed(TEXT, "inputs", dependentRequired={"limit": ["text"]}), "dependentRequired",
        "may ask for text"),
    "other kind": (
        changed({**TEXT, "tensors": SPEECH["tensors"]}, "answer", kind="regression", labels=None),
        "reader", "answers of kind classification"),
    "speech into": (changed(SPEECH, "stream", into="threshold"), "into", "itself"),
    "speech without windows": (
        changed(SPEECH, "tensors", W=None), "tensors", "windows fills 0 tensors"),
    "speech of something else": (
        changed(SPEECH, "tensors", S={"from": "mood", "datatype": "FP32", "shape": [1]}),
        "from", "does not give mood"),
    "windows of 512": (
        changed(SPEECH, "tensors", W={"from": "windows", "datatype": "FP32", "shape": [4, 512]}),
        "W", "of the shape"),
    "no state": (changed(SPEECH, "answer", state=None), "answer", "`state` goes with"),
    "no option": (
        changed(SPEECH, "inputs", properties={"threshold": {"type": "number"}}), "properties",
        "goes by"),
    "segments of nothing": ({**SPEECH, "stream": None}, "kind", "has no stream"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_nonsense_is_a_fault_with_a_remedy(
    document: Document, faults_of: FaultsOf, name: str
) -> None:
    changes, place, said = FAULTS[name]
    text = json.dumps(document(**changes), indent=1)
    found = faults_of(text)
    assert found
    assert all(fault.line > 0 and fault.remedy for fault in found)
    matching = [fault for fault in found if re.search(said, fault.message)]
    assert matching, found
    lines = text.splitlines()
    assert any(place in lines[fault.line - 1] for fault in matching), matching


BREAKS = {
    "removed": (None, "/stream"),
    "renamed": ({"object": "paper"}, "/stream/object"),
    "narrower": ({"max_bytes": 999}, "/stream/max_bytes"),
    "fewer types": ({"media_types": ["text/markdown"]}, "/stream/media_types"),
}
ADDS = {
    "larger": ({"max_bytes": 1001}, "/stream/max_bytes"),
    "more types": ({"media_types": ["text/plain", "text/markdown"]}, "/stream/media_types"),
}


@pytest.mark.parametrize("name", [*BREAKS, *ADDS])
def test_what_jobs_could_name_they_still_may(compiled: Compile, name: str) -> None:
    fields, where = {**BREAKS, **ADDS}[name]
    after = {**TEXT, "stream": None} if fields is None else changed(TEXT, "stream", **fields)
    found = compare(compiled(**TEXT), compiled(**after))
    assert found.is_compatible == (name in ADDS)
    assert where in [change.where for change in found.changes]


def test_objects_that_come_add_and_their_price_breaks_nothing(compiled: Compile) -> None:
    without = compiled(**{**TEXT, "stream": None})
    assert compare(without, compiled(**TEXT)).is_compatible
    assert [change.adds for change in compare(without, compiled(**TEXT)).changes] == [True]
    dearer = compare(compiled(**TEXT), compiled(**changed(TEXT, "stream", units_per_mib=9)))
    assert [change.where for change in dearer.changes] == ["/stream/units_per_mib"]
    assert dearer.is_compatible


def test_a_model_of_objects_alone_is_compatible_with_itself(compiled: Compile) -> None:
    assert compare(compiled(**SPEECH), compiled(**SPEECH)).changes == ()


def test_it_is_tried_with_silence(compiled: Compile) -> None:
    contract = compiled(**SPEECH)
    [trial] = trials(contract)
    assert [len(part) for part in trial.item.parts] == [4 * 4 * 576, 4 * 2 * 128]
    assert trial.complaint({"P": [0.1, 0.0, 1.0, 0.5]}) is None
    assert "no probability" in str(trial.complaint({"P": [0.1, 1.5]}))


def test_the_state_that_comes_back_is_the_one_that_goes_in(compiled: Compile) -> None:
    inputs = (TensorSignature("W", "FP32", (4, 576)), TensorSignature("S", "FP32", (2, 128)))

    def said(*shape: int) -> list[str]:
        outputs = (TensorSignature("P", "FP32", (4,)), TensorSignature("N", "FP32", shape))
        found = disagreements(compiled(**SPEECH), ModelSignature(inputs, outputs, 8))
        return [one.message for one in found]

    assert said(2, 128) == []
    assert len(said(2, 64)) == 1
