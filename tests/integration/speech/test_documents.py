"""Large texts through the real sentiment model, sentence by sentence."""

from __future__ import annotations

import msgspec
import pytest

from control_plane.contracts.inputs import InputSchema
from control_plane.contracts.streams import job_answer
from control_plane.errors import TidegateError
from control_plane.jobs.work import documents
from tests.integration.speech.conftest import Bench
from tests.stack import Stack

SENTIMENT = "sentiment v1.0.0"
SENTENCES = ["The room was lovely.", "Nobody told us why!", "It was a terrible, awful mess."]


async def test_each_sentence_is_answered_as_alone(bench: Bench, stack: Stack) -> None:
    text = "\n\n".join([" ".join(SENTENCES)] * 50)
    result = await bench.run(SENTIMENT, text.encode(), confidence_threshold=0.6)
    decoded = msgspec.json.decode(msgspec.json.encode(result))
    rows = decoded["sentences"]
    assert [text[row["start"] : row["end"]] for row in rows] == SENTENCES * 50
    assert [row["index"] for row in rows] == list(range(150))
    for index, sentence in enumerate(SENTENCES):
        alone = stack.predict(
            {"text": sentence, "confidence_threshold": 0.6}, model_version="v1.0.0"
        ).json()
        for name in ("prediction", "below_threshold"):
            assert rows[index][name] == alone[name]
        assert abs(rows[index]["confidence"] - alone["confidence"]) < 1e-5
    by_label = decoded["summary"]["by_label"]
    assert sum(one["count"] for one in by_label.values()) == decoded["summary"]["count"] == 150
    assert bench.progress == sorted(bench.progress)
    assert bench.progress[-1] == 100
    assert max(bench.calls) > 1


async def test_the_result_is_what_the_contract_says(bench: Bench) -> None:
    for name, data in ((SENTIMENT, b"Good. Bad. Zzyzx qqq."),):
        contract = bench.contracts[name]
        assert contract.stream is not None
        fields = job_answer(contract.stream, contract.answers.kind)
        schema = InputSchema(
            {"type": "object", "properties": fields, "required": list(fields),
             "additionalProperties": False}
        )  # fmt: skip
        result = msgspec.json.decode(msgspec.json.encode(await bench.run(name, data)))
        assert schema.faults(result) == []
        assert result["summary"]["warnings"] == {"NO_KNOWN_WORDS": 1}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "blank"),
        (b" \n\t \n\n", "blank"),
        (b"Fine. \xff", "invalid sequence at byte 6"),
        (b"Fine. " * 100_001, "more than 100000 sentences"),
    ],
    ids=["empty", "space", "no UTF-8", "too many"],
)
async def test_what_cannot_be_read_costs_no_call(bench: Bench, data: bytes, said: str) -> None:
    with pytest.raises(TidegateError, match=said) as caught:
        await bench.run(SENTIMENT, data)
    assert caught.value.code == "OBJECT_UNUSABLE"
    assert bench.calls == []


def test_a_result_is_bounded() -> None:
    assert documents.MAX_SENTENCES * 120 < 16 * 2**20
