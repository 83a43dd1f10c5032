"""What the Python-based `onnxruntime` backend makes of a model configuration."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime as ort
import pytest

ROOT = Path(__file__).resolve().parents[3]
BACKEND = ROOT / "triton" / "backends" / "onnxruntime"
REPOSITORY = ROOT / "model_repository"


def _load() -> ModuleType:
    # A backend's directory is no package: Triton puts it on the path of its own process.
    spec = importlib.util.spec_from_file_location("onnx_session", BACKEND / "onnx_session.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


onnx_session = _load()
ModelLoadError = onnx_session.ModelLoadError
TensorInfo = onnx_session.TensorInfo


def _config(**changes: Any) -> dict[str, Any]:
    return {
        "name": "wine_logistic",
        "max_batch_size": 8,
        "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": ["13"]}],
        "output": [{"name": "PROBABILITIES", "data_type": "TYPE_FP32", "dims": ["3"]}],
    } | changes


def _parameters(**given: str) -> dict[str, Any]:
    return _config(parameters={key: {"string_value": value} for key, value in given.items()})


INPUT = TensorInfo("X", "tensor(float)", ["N", 13])
OUTPUT = TensorInfo("PROBABILITIES", "tensor(float)", [None, 3])


def test_session_opens_for_a_matching_model() -> None:
    session = onnx_session.open_session(
        _config(), str(REPOSITORY / "wine_logistic"), "1", "CPU", "0"
    )
    assert [each.name for each in session.get_inputs()] == ["X"]


def test_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"1/model\.onnx: expected .* default_model_filename"):
        onnx_session.open_session(_config(), str(tmp_path), "1", "CPU", "0")


def test_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelLoadError, match=r"1/model\.onnx: ONNX Runtime .* cannot load"):
        onnx_session.open_session(_config(), str(tmp_path), "1", "CPU", "0")


@pytest.mark.parametrize("layout", ["weights.onnx", "weights/model.onnx"])
def test_default_model_filename_may_be_a_file_or_a_directory(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "1" / layout
    path.parent.mkdir(parents=True)
    path.touch()
    config = _config(default_model_filename=layout.split("/")[0])
    assert onnx_session.model_file(config, str(tmp_path), "1") == path


def test_a_model_that_agrees_has_no_faults() -> None:
    assert onnx_session.disagreements(_config(), [INPUT], [OUTPUT]) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (INPUT._replace(name="features"), "input 'X' of config.pbtxt is not in the file"),
        (INPUT._replace(type="tensor(double)"), "TYPE_FP32 (tensor(float)), the file has tensor(d"),
        (INPUT._replace(shape=["N", 12]), "dims [-1, 13]"),
        (INPUT._replace(shape=[1, 13]), "the first is the batch"),
        (INPUT._replace(shape=[]), "the file has []"),
    ],
)
def test_each_disagreement_says_what_was_expected_and_got(
    found: tuple[object, ...], expected: str
) -> None:
    faults = onnx_session.disagreements(_config(), [found], [OUTPUT])
    assert expected in "; ".join(faults)


def test_an_input_that_the_configuration_forgot_is_a_fault() -> None:
    mask = TensorInfo("mask", "tensor(int64)", ["N"])
    faults = onnx_session.disagreements(_config(), [INPUT, mask], [OUTPUT])
    assert faults == ["input 'mask' of the file is missing in config.pbtxt"]


def test_dynamic_dims_of_the_configuration_need_dynamic_dims_in_the_file() -> None:
    config = _config(input=[{"name": "X", "data_type": "TYPE_FP32", "dims": ["-1"]}])
    assert onnx_session.disagreements(config, [INPUT], [OUTPUT])
    dynamic = INPUT._replace(shape=["N", "columns"])
    assert onnx_session.disagreements(config, [dynamic], [OUTPUT]) == []


def test_without_a_batch_dimension_the_dims_are_the_whole_shape() -> None:
    config = _config(max_batch_size=0)
    inputs, outputs = [INPUT._replace(shape=[13])], [OUTPUT._replace(shape=[3])]
    assert onnx_session.disagreements(config, inputs, outputs) == []


def test_parameters_of_the_cpp_backend_reach_the_session() -> None:
    options = onnx_session.session_options(
        _parameters(
            intra_op_thread_count="3",
            inter_op_thread_count="2",
            execution_mode="1",
            enable_mem_arena="0",
            enable_mem_pattern="0",
        )
    )
    assert options.intra_op_num_threads == 3
    assert options.inter_op_num_threads == 2
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


def test_idle_threads_do_not_spin_unless_asked() -> None:
    key = "session.intra_op.allow_spinning"
    assert onnx_session.session_options(_config()).get_session_config_entry(key) == "0"
    asked = onnx_session.session_options(_parameters(**{key: "1"}))
    assert asked.get_session_config_entry(key) == "1"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-1, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC),
        (0, ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        (1, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
        (2, ort.GraphOptimizationLevel.ORT_DISABLE_ALL),
    ],
)
def test_graph_level_means_what_it_means_to_the_cpp_backend(level: int, expected: object) -> None:
    options = onnx_session.session_options(_config(optimization={"graph": {"level": level}}))
    assert options.graph_optimization_level == expected


@pytest.mark.parametrize(
    "given",
    [{"execution_mode": "2"}, {"intra_op_thread_count": "two"}, {"enable_mem_arena": "maybe"}],
)
def test_a_parameter_with_a_bad_value_is_named(given: dict[str, str]) -> None:
    with pytest.raises(ModelLoadError, match=next(iter(given))):
        onnx_session.session_options(_parameters(**given))


def test_cuda_is_chosen_only_on_a_gpu_instance_that_has_it() -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    accelerator = {"name": "cuda", "parameters": {"cudnn_conv_use_max_workspace": "0"}}
    config = _config(
        optimization={"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}
    )
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    assert onnx_session.providers(config, "CPU", "0", both) == [cpu]
    assert onnx_session.providers(config, "GPU", "0", both[1:]) == [cpu]
    cuda = {"device_id": "1", "cudnn_conv_use_max_workspace": "0"}
    on_gpu = [("CUDAExecutionProvider", cuda), cpu]
    assert onnx_session.providers(config, "GPU", "1", both) == on_gpu
