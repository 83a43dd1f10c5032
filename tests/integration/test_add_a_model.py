"""A model author adds a directory, as docs/contract.md says, and nothing else."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.stack import CHECKOUT, Gateway, Stack, started_door, started_triton, tidegate

GUIDE = (CHECKOUT / "docs" / "contract.md").read_text()


def block(language: str, containing: str) -> str:
    """The code block of the guide that has a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return next(text for text in blocks if containing in text)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's example, word for word, and weights for it."""
    folder = tmp_path_factory.mktemp("area")
    weights = folder / "area_product" / "1"
    weights.mkdir(parents=True)
    (folder / "area_product" / "config.pbtxt").write_text(block("", 'backend: "onnxruntime"'))
    (weights / "contract.yaml").write_text(block("yaml", "model: area"))
    sides = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 2])
    value = helper.make_tensor_value_info("VALUE", TensorProto.FLOAT, ["n", 1])
    node = helper.make_node("ReduceProd", ["X"], ["VALUE"], axes=[1], keepdims=1)
    graph = helper.make_graph([node], "area", [sides], [value])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), weights / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def area(
    repository: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with started_triton(tmp_path_factory.mktemp("area-data"), repository) as triton:
        checked = subprocess.run(
            tidegate("models", "check", "--repository", str(repository), "--triton", triton.grpc),
            capture_output=True, text=True, check=False, cwd=CHECKOUT,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout
        with started_door(
            wait="/ready",
            keys=stack.keys,
            triton_urls=triton.grpc,
            model_repository=str(repository),
            **stack.shared,
        ) as gateway:
            yield gateway


def test_it_answers_in_both_majors_as_the_only_model(area: Gateway) -> None:
    flat = area.predict({"width": 2, "height": 3}).json()
    assert (flat["prediction"], flat["unit"]) == (6.0, "m²")
    assert (flat["model"], flat["model_version"]) == ("area", "v1.0.0")
    data = area.predict({"width": 2.5, "height": 4}, "/api/v2/models/area/predict").json()["data"]
    assert data == {"prediction": 10.0, "unit": "m²"}


def test_its_contract_is_kept(area: Gateway) -> None:
    for inputs in ({"width": 2}, {"width": 2, "height": 1001}, {"width": 2, "height": 3, "d": 1}):
        assert area.predict(inputs).status_code == 422


def test_it_is_in_openapi_and_in_the_catalogue(area: Gateway) -> None:
    document = area.client.get("/openapi.json").json()
    assert "/api/v1/models/area/predict" in document["paths"]
    inputs = document["components"]["schemas"]["area.v1.0.0.Inputs"]
    assert inputs["properties"]["width"]["maximum"] == 1000
    schema = area.client.get("/api/v1/models/area/schema").json()
    assert schema["inputs"]["required"] == ["width", "height"]
    assert schema["examples"] == [{"width": 2, "height": 3}]
