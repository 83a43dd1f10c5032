"""Opens the ONNX Runtime session that a Triton model configuration describes.

Nothing here needs Triton, so that everything here is tested without it. The keys are those of
Triton's C++ backend (https://github.com/triton-inference-server/onnxruntime_backend): the same
`config.pbtxt` means the same on both.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime as ort

Config = dict[str, Any]
"""A Triton model configuration, decoded from the JSON that Triton hands to a backend."""

TRITON_TO_ONNX = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_TRUE, _FALSE = {"1", "true", "True", "TRUE"}, {"0", "false", "False", "FALSE"}


class ModelLoadError(Exception):
    """A model cannot be served; the message names the file, the fault and the remedy."""


class TensorInfo(NamedTuple):
    """A tensor as the ONNX file declares it; `shape` has a str or None where it is dynamic."""

    name: str
    type: str
    shape: list[int | str | None]


def parameters(config: Config) -> dict[str, str]:
    """Returns the `parameters` of a model configuration as plain strings."""
    return {key: value["string_value"] for key, value in config.get("parameters", {}).items()}


def model_file(config: Config, repository: str, version: str) -> Path:
    """Finds the ONNX file of a model version, as the C++ backend does.

    Args:
        config: The model configuration; `default_model_filename` may name the file.
        repository: Directory of the model.
        version: Triton's integer version.

    Raises:
        ModelLoadError: There is no such file.
    """
    path = Path(repository, version, config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path /= "model.onnx"
    if not path.is_file():
        raise ModelLoadError(
            f"{path}: expected the ONNX model here, got no file. Put the model there, or name "
            "its file in default_model_filename of config.pbtxt."
        )
    return path


def session_options(config: Config) -> ort.SessionOptions:
    """Translates a model configuration into session options.

    Threads default to the CPUs that this process may use, and idle threads do not spin: a
    spinning pool takes the CPU from the server that feeds it.

    Raises:
        ModelLoadError: A parameter has a value that the C++ backend would refuse, too.
    """
    given = parameters(config)
    options = ort.SessionOptions()
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(
        level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    )
    mode = _integer(given, "execution_mode", allowed=(0, 1))
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if mode else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    cpus = len(os.sched_getaffinity(0))
    options.intra_op_num_threads = _integer(given, "intra_op_thread_count") or cpus
    options.inter_op_num_threads = _integer(given, "inter_op_thread_count") or cpus
    options.enable_cpu_mem_arena = _boolean(given, "enable_mem_arena", default=True)
    options.enable_mem_pattern = _boolean(given, "enable_mem_pattern", default=True)
    entries = {
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
        **{key: value for key, value in given.items() if key.startswith("session.")},
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return options


def run_options(config: Config) -> ort.RunOptions | None:
    """Returns the options of every run, or None where the configuration names none."""
    key = "memory.enable_memory_arena_shrinkage"
    value = parameters(config).get(key)
    if value is None:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(key, value)
    return options


def providers(
    config: Config, kind: str, device_id: str, available: list[str]
) -> list[tuple[str, dict[str, str]]]:
    """Chooses execution providers: CUDA on a GPU instance where it is installed, and the CPU.

    Args:
        config: The model configuration; the parameters of its `cuda` accelerator are passed on.
        kind: `CPU` or `GPU`, the kind of the model instance.
        device_id: The GPU of the instance.
        available: The providers of the installed ONNX Runtime.
    """
    chosen: list[tuple[str, dict[str, str]]] = []
    if kind == "GPU" and "CUDAExecutionProvider" in available:
        cuda = {"device_id": device_id}
        accelerators = config.get("optimization", {}).get("execution_accelerators", {})
        for accelerator in accelerators.get("gpu_execution_accelerator", []):
            if accelerator["name"] == "cuda":
                cuda |= accelerator.get("parameters", {})
        chosen.append(("CUDAExecutionProvider", cuda))
    return [*chosen, ("CPUExecutionProvider", {})]


def disagreements(config: Config, inputs: list[TensorInfo], outputs: list[TensorInfo]) -> list[str]:
    """Lists where an ONNX file is not what its config.pbtxt says; empty when they agree.

    Args:
        config: The model configuration.
        inputs: Inputs of the file, without those that have a default in it.
        outputs: Outputs of the file.
    """
    batched = int(config["max_batch_size"]) > 0
    faults: list[str] = []
    for side, found in (("input", inputs), ("output", outputs)):
        known = {info.name: info for info in found}
        for tensor in config[side]:
            info = known.get(tensor["name"])
            if info is None:
                faults.append(
                    f"{side} {tensor['name']!r} of config.pbtxt is not in the file, which has "
                    f"{sorted(known)}"
                )
            else:
                faults += _tensor_faults(side, tensor, info, batched=batched)
    missing = {info.name for info in inputs} - {tensor["name"] for tensor in config["input"]}
    faults += [f"input {name!r} of the file is missing in config.pbtxt" for name in sorted(missing)]
    return faults


def open_session(
    config: Config, repository: str, version: str, kind: str, device_id: str
) -> ort.InferenceSession:
    """Opens the session of a model instance and holds it against its configuration.

    Raises:
        ModelLoadError: No file, a file that ONNX Runtime cannot load, or one that disagrees
            with config.pbtxt.
    """
    path = model_file(config, repository, version)
    options = session_options(config)
    chosen = providers(config, kind, device_id, ort.get_available_providers())
    try:
        session = ort.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:
        raise ModelLoadError(
            f"{path}: ONNX Runtime {ort.__version__} cannot load this file: {error}. Export the "
            "model again with an opset and IR version that this ONNX Runtime supports."
        ) from error
    optional = {tensor.name for tensor in session.get_overridable_initializers()}
    named = {tensor["name"] for tensor in config["input"]}
    inputs = [*session.get_inputs(), *session.get_overridable_initializers()]
    faults = disagreements(
        config,
        [_info(each) for each in inputs if each.name not in optional or each.name in named],
        [_info(each) for each in session.get_outputs()],
    )
    if faults:
        raise ModelLoadError(
            f"{path} disagrees with {Path(repository, 'config.pbtxt')}: {'; '.join(faults)}. "
            "Correct config.pbtxt, or export the model as it says."
        )
    return session


def _tensor_faults(
    side: str, tensor: dict[str, Any], info: TensorInfo, *, batched: bool
) -> list[str]:
    name, faults = tensor["name"], []
    expected_type = TRITON_TO_ONNX.get(tensor["data_type"], "no ONNX type")
    if info.type != expected_type:
        faults.append(
            f"{side} {name!r}: config.pbtxt has {tensor['data_type']} ({expected_type}), the file "
            f"has {info.type}"
        )
    dims = tensor.get("reshape", {}).get("shape", tensor["dims"])
    expected = [-1, *map(int, dims)] if batched else [int(each) for each in dims]
    got = [each if isinstance(each, int) else -1 for each in info.shape]
    if not _compatible(expected, got):
        batch = " (the first is the batch, because max_batch_size > 0)" if batched else ""
        faults.append(
            f"{side} {name!r}: config.pbtxt has dims {expected}{batch}, the file has {info.shape}"
        )
    return faults


def _compatible(expected: list[int], got: list[int]) -> bool:
    # Dynamic in the file and fixed in the configuration is a promise of the author's; the other
    # way round Triton would let through what the file refuses.
    return len(expected) == len(got) and all(
        g in (-1, e) for e, g in zip(expected, got, strict=True)
    )


def _info(tensor: ort.NodeArg) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.type, list(tensor.shape))


def _integer(given: dict[str, str], key: str, allowed: tuple[int, ...] | None = None) -> int:
    text = given.get(key, "0")
    expected = f"one of {allowed}" if allowed else "an integer of 0 or more"
    if not text.isdecimal() or (allowed and int(text) not in allowed):
        raise ModelLoadError(_parameter_fault(key, text, expected))
    return int(text)


def _boolean(given: dict[str, str], key: str, *, default: bool) -> bool:
    text = given.get(key)
    if text is None:
        return default
    if text not in _TRUE | _FALSE:
        raise ModelLoadError(_parameter_fault(key, text, '"1" or "0"'))
    return text in _TRUE


def _parameter_fault(key: str, text: str, expected: str) -> str:
    return f"config.pbtxt: parameter {key!r} is {text!r}, expected {expected}. Correct its value."
