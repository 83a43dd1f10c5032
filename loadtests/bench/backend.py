r"""Times the `onnxruntime` backend of a running Triton against bare ONNX Runtime.

    python loadtests/bench/backend.py --triton-grpc 127.0.0.1:8001 \
        --repository model_repository --models wine_logistic sentiment_linear

Both get the same batches, in alternating rounds, with the session options of the model's own
configuration. Prints JSON: {model: {batch size: {bare_ms, triton_ms, execute_ms, ratio_execute,
ratio_client}}}. `triton_ms` is what a gRPC client waits for; `execute_ms` is Triton's
`compute_infer`, which holds the way into the backend's process and back. All are medians over
rounds of the mean of one round, in milliseconds a batch.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import tritonclient.grpc as grpcclient

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "triton" / "backends" / "onnxruntime"))

from onnx_session import open_session  # noqa: E402  (a backend's directory is no package)

Array = npt.NDArray[Any]
Feed = dict[str, Array]

TEXTS = [
    "The room was lovely and the staff could not have been kinder.",
    "Never again: two hours of waiting for cold food.",
    "It is a phone. It makes calls.",
    "so happy with my new headphones, the sound is amazing!!",
]
TOKENS = 32
"""Length of the token sequences for encoders."""
VOCABULARY = 1000
"""Token ids are drawn below this; every common vocabulary is larger."""
ROUND_S = 0.3
"""Aim of one round of one side, in seconds."""


def make_batch(config: dict[str, Any], size: int) -> Feed:
    """Makes a reproducible batch for a model.

    Args:
        config: The model configuration, as Triton returns it.
        size: Rows of the batch.
    """
    random = np.random.default_rng(size)
    return {tensor["name"]: _make_input(tensor, size, random) for tensor in config["input"]}


def _make_input(tensor: dict[str, Any], size: int, random: np.random.Generator) -> Array:
    shape = (size, *(TOKENS if int(each) < 0 else int(each) for each in tensor["dims"]))
    kind = tensor["data_type"]
    if kind == "TYPE_STRING":
        texts = [TEXTS[index % len(TEXTS)] for index in range(int(np.prod(shape)))]
        return np.array(texts, dtype=np.object_).reshape(shape)
    dtype = np.dtype(_NUMPY[kind])
    if dtype.kind == "f":
        return random.random(shape).astype(dtype)
    name = tensor["name"].lower()
    if "mask" in name:
        return np.ones(shape, dtype=dtype)
    if "type" in name:
        return np.zeros(shape, dtype=dtype)
    return random.integers(0, VOCABULARY, shape).astype(dtype)


_NUMPY = {
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
    "TYPE_FP64": "float64",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
}


def bare_call(
    session: ort.InferenceSession, config: dict[str, Any], feed: Feed
) -> Callable[[], Any]:
    """Returns a call of bare ONNX Runtime with the outputs of the configuration."""
    names = [tensor["name"] for tensor in config["output"]]
    return lambda: session.run(names, feed)


def triton_call(
    client: grpcclient.InferenceServerClient, model: str, config: dict[str, Any], feed: Feed
) -> Callable[[], Any]:
    """Returns a call through Triton; the request is encoded once, the answer every time."""
    inputs = []
    for tensor in config["input"]:
        array = feed[tensor["name"]]
        datatype = tensor["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES")
        value = grpcclient.InferInput(tensor["name"], list(array.shape), datatype)
        value.set_data_from_numpy(array)
        inputs.append(value)
    names = [tensor["name"] for tensor in config["output"]]

    def call() -> None:
        answer = client.infer(model, inputs)
        for name in names:
            answer.as_numpy(name)

    return call


def compute_infer(client: grpcclient.InferenceServerClient, model: str) -> tuple[float, int]:
    """Returns Triton's accumulated `compute_infer` in ms, and the number of requests in it."""
    statistics_ = client.get_inference_statistics(model).model_stats
    entries = [entry.inference_stats.compute_infer for entry in statistics_]
    return sum(entry.ns for entry in entries) / 1e6, sum(entry.count for entry in entries)


def mean_ms(call: Callable[[], Any], repeats: int) -> float:
    """Returns the mean time of a call in ms."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) * 1000 / repeats


def compare(
    client: grpcclient.InferenceServerClient,
    session: ort.InferenceSession,
    config: dict[str, Any],
    size: int,
    rounds: int,
) -> dict[str, float]:
    """Measures one model at one batch size, both sides in alternating rounds."""
    model, feed = config["name"], make_batch(config, size)
    bare = bare_call(session, config, feed)
    triton = triton_call(client, model, config, feed)
    warm_ms = max(mean_ms(bare, 3), mean_ms(triton, 3))
    repeats = int(max(5, min(500, ROUND_S * 1000 / warm_ms)))
    samples: dict[str, list[float]] = {"bare_ms": [], "triton_ms": [], "execute_ms": []}
    for _ in range(rounds):
        samples["bare_ms"].append(mean_ms(bare, repeats))
        spent, count = compute_infer(client, model)
        samples["triton_ms"].append(mean_ms(triton, repeats))
        spent_after, count_after = compute_infer(client, model)
        samples["execute_ms"].append((spent_after - spent) / (count_after - count))
    result = {name: statistics.median(values) for name, values in samples.items()}
    result["ratio_execute"] = result["execute_ms"] / result["bare_ms"]
    result["ratio_client"] = result["triton_ms"] / result["bare_ms"]
    return {name: round(value, 4) for name, value in result.items()}


def model_config(client: grpcclient.InferenceServerClient, model: str) -> dict[str, Any]:
    """Returns a model's configuration as Triton has it."""
    answer = client.get_model_config(model, as_json=True)
    config: dict[str, Any] = {"max_batch_size": 0, **answer["config"]}
    for key in ("input", "output"):
        config[key] = [{"dims": [], **tensor} for tensor in config[key]]
    return config


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--triton-grpc", required=True, metavar="HOST:PORT")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    client = grpcclient.InferenceServerClient(options.triton_grpc)
    report: dict[str, dict[int, dict[str, float]]] = {}
    for model in options.models:
        config = model_config(client, model)
        session = open_session(config, str(options.repository / model), "1", "CPU", "0")
        report[model] = {
            size: compare(client, session, config, size, options.rounds)
            for size in options.batch_sizes
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
