"""``python -m loadtests.bench``: starts everything, measures, writes the results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtests.bench.cases import CASES, ROOT
from loadtests.bench.goals import goals
from loadtests.bench.load import generator_name
from loadtests.bench.measure import Bench, Plan
from loadtests.bench.plot import draw
from loadtests.bench.report import markdown
from loadtests.bench.results import Report
from loadtests.bench.stack import Stack, start_seconds, started

PACKAGES: Final = ("nvidia-pytriton", "onnxruntime", "uvicorn", "litestar", "fastapi", "pydantic",
                   "grpcio", "tritonclient")  # fmt: skip
TRITON: Final = "2.51.0"
STARTS: Final = 5
BACKEND_MODELS: Final = {
    "wine": "wine_logistic", "sentiment": "sentiment_linear", "encoder": "minilm_encoder"
}  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    options = _options()
    plan = Plan(options.models, options.connections, options.rounds, options.seconds)
    missing = [key for key in plan.cases if not CASES[key].contract_path.exists()]
    if missing:
        sys.exit(f"no contract in the model repository for: {', '.join(missing)}")
    load_before = "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        folder = Path(name)
        _say("starting Tidegate, Triton and the FastAPI gateway")
        with started(folder) as stack:
            bench = Bench(stack, folder, _say)
            samples = bench.measure(plan)
            report = Report(
                environment=_environment(plan, load_before),
                samples=samples,
                memory={role: tree.memory() for role, tree in stack.trees.items()},
                start_s=start_seconds(stack, folder, STARTS),
                checked=bench.checked,
                admission={} if options.quick else _admission(stack),
                backend={} if options.quick else _backend(stack, plan),
            )
    _write(report, options.out)
    for goal in goals(report):
        sign = "≤" if goal.at_most else "≥"
        _say(f"{'held' if goal.held else 'MISSED'}: {goal.what}: {goal.measured:.2f}{goal.unit} "
             f"({sign} {goal.bound:g})")  # fmt: skip


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each target at each number")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks",
                        help="folder for results.md, results.json and plot.svg")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="one short round of the small models, as a test"
    )
    options = parser.parse_args()
    if options.quick:
        options.models, options.connections = ["wine", "sentiment"], [1, 16]
        options.rounds, options.seconds = 1, 1.0
    return options


def _environment(plan: Plan, load_before: str) -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": f"{len(os.sched_getaffinity(0))} ({_processor()})",
        "load average before": load_before,
        "load generator": f"{generator_name()}, on the same cores",
        "rounds": f"{plan.rounds} of {plan.seconds:g} s, targets alternating",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", f"Triton {TRITON}",
             *(f"{package} {version(package)}" for package in PACKAGES)]
        ),
    }  # fmt: skip


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _backend(stack: Stack, plan: Plan) -> dict[str, dict[str, dict[str, float]]]:
    _say("timing the onnxruntime backend against bare ONNX Runtime")
    command = [
        sys.executable, str(Path(__file__).with_name("backend.py")),
        "--triton-grpc", stack.endpoints["triton_grpc"], "--models",
        *(BACKEND_MODELS[key] for key in plan.cases),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, dict[str, dict[str, float]]] = json.loads(done.stdout)
    return measured


def _admission(stack: Stack) -> dict[str, dict[str, float]]:
    _say("timing admission by itself")
    command = [sys.executable, "-m", "loadtests.bench.admission"]
    url = stack.limits_url + "\n"
    done = subprocess.run(
        command, cwd=ROOT, input=url, stdout=subprocess.PIPE, text=True, check=True
    )
    measured: dict[str, dict[str, float]] = json.loads(done.stdout)
    return measured


def _write(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(report))
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    (folder / "results.json").write_bytes(encoded + b"\n")
    draw(report, folder / "plot.svg")
    _say(f"written to {folder}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
