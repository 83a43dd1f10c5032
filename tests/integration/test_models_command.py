"""`tidegate models check` and `list`: file, line and remedy of every fault."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stack import CHECKOUT, REPOSITORY, Stack, copied_models, tidegate

CONTRACT = "wine_logistic/1/contract.yaml"
CONFIG = "wine_logistic/config.pbtxt"


def models(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        tidegate("models", *arguments), cwd=CHECKOUT, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return copied_models(tmp_path, "wine_logistic", "sentiment_linear")


def test_the_projects_own_models_agree_with_triton(stack: Stack) -> None:
    done = models("check", "--triton", stack.endpoints["triton_grpc"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 versions, ")
    assert "contracts and config.pbtxt and Triton agree" in done.stdout


def test_list_names_what_serves_a_version() -> None:
    done = models("list")
    assert done.returncode == 0
    rows = [line.split()[:4] for line in done.stdout.splitlines()]
    assert rows == [
        ["MODEL", "VERSION", "STATUS", "TRITON"],
        ["diabetes", "v1.0.0", "stable", "diabetes_forest/1"],
        ["sentiment", "v1.0.0", "stable", "sentiment_linear/1"],
        ["sentiment", "v2.3.1", "stable", "sentiment_minilm/1"],
        ["sentiment", "v3.0.0", "experimental", "sentiment_multilingual/1"],
        ["speech", "v1.0.0", "stable", "speech_silero/1"],
        ["wine", "v1.0.0", "stable", "wine_logistic/1"],
    ]


Change = tuple[str, str, str, str]
FAULTS: dict[str, Change] = {
    "tensor name": (CONTRACT, "  X:\n", "  Y:\n", r"has no input Y: it has X\. Use the name"),
    "datatype": (CONTRACT, "datatype: FP32", "datatype: FP64", r"is FP32, not FP64\. Use datatype"),
    "unknown datatype": (CONTRACT, "datatype: FP32", "datatype: FP33", r"FP33|FP32"),
    "shape": (CONTRACT, "shape: [13]", "shape: [14]", r"1[34]"),
    "labels": (CONTRACT, "barolo, ", "", r"3 elements for 2 labels\. Name each class once"),
    "output": (CONTRACT, "PROBABILITIES", "SCORES", r"has no output SCORES: it has PROBABILITIES"),
    "syntax": (CONTRACT, "inputs:\n", "inputs: [\n", r"YAML|expected|syntax|parse"),
    "key twice": (CONTRACT, "units: 1\n", "units: 1\nunits: 2\n", r"units"),
    "unknown key": (CONTRACT, "units: 1\n", "unit_price: 1\n", r"unit_price"),
    "missing column": (CONTRACT, "      - ash\n", "      - ashes\n", r"ashes"),
    "version": (CONTRACT, "version: v1.0.0", "version: 1.0", r"v1\.0\.0|vMAJOR|pattern|version"),
    "queue bound": (CONFIG, "    max_queue_size: 1024", "    # none", r"has no bound\. Set"),
    "queue timeout": (CONFIG, "default_timeout_microseconds: 1000000", "", r"default timeout is 0"),
    "dims": (CONFIG, "dims: [ 13 ]", "dims: [ 12 ]", r"has shape \[12\], not \[13\]\. Use shape"),
    "data type": (CONFIG, "TYPE_FP32 dims: [ 13 ]", "TYPE_FP64 dims: [ 13 ]", r"is FP64, not FP32"),
    "config syntax": (CONFIG, "max_batch_size: 1024", "max_batch_size: {", r"cannot be parsed"),
    "no batches": (CONFIG, "max_batch_size: 1024", "max_batch_size: 0", r"is 0\. Set"),
    "cache": (CONFIG, "max_batch_size", "response_cache {enable: true} max_batch_size", r"cache"),
    "name": (CONFIG, 'name: "wine_logistic"', 'name: "vino"', r"the name is vino, the folder wine"),
    "kind": (CONFIG, "{ count: 2 }", "{ count: 2 kind: KIND_CPU }", r"the instance kind is fixed"),
}
WHOLE_FILE = {"queue bound", "queue timeout"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_file_line_and_remedy(repository: Path, name: str) -> None:
    file, old, new, told = FAULTS[name]
    text = (repository / file).read_text()
    assert old in text
    (repository / file).write_text(text.replace(old, new, 1))
    done = models("check", "--repository", str(repository))
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    matching = [line for line in done.stdout.splitlines() if re.search(told, line)]
    assert matching, done.stdout
    place = re.match(r"wine_logistic/\S+?:(\d+): .+\. .+", matching[0])
    assert place, matching[0]
    assert int(place[1]) > 0 or name in WHOLE_FILE, matching[0]


def remove(path: str) -> Callable[[Path], None]:
    return lambda repository: (repository / path).unlink()


def duplicate(repository: Path) -> None:
    copied_models(repository / "x", "wine_logistic")
    (repository / "x" / "wine_logistic").rename(repository / "wine_again")
    (repository / "x").rmdir()
    config = repository / "wine_again" / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "wine_logistic"', 'name: "wine_again"'))


def rename_version(repository: Path) -> None:
    (repository / "wine_logistic" / "1").rename(repository / "wine_logistic" / "one")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (duplicate, r"wine v1\.0\.0 is claimed by wine_again/1 and wine_logistic/1\. Give each"),
        (rename_version, r"the folder one is no Triton version\. Name the folder 1, 2"),
        (remove(CONFIG), r"config\.pbtxt:0: is missing"),
    ],
)
def test_a_harmed_folder_is_named(
    repository: Path, harm: Callable[[Path], None], told: str
) -> None:
    harm(repository)
    done = models("check", "--repository", str(repository))
    assert done.returncode == 1
    assert re.search(told, done.stdout), done.stdout


def test_a_live_triton_that_disagrees_is_named(repository: Path, stack: Stack) -> None:
    path = repository / CONTRACT
    path.write_text(path.read_text().replace("shape: [13]", "shape: [14]"))
    done = models(
        "check", "--repository", str(repository), "--triton", stack.endpoints["triton_grpc"]
    )
    assert done.returncode == 1


def test_an_example_that_fails_is_named(repository: Path, stack: Stack) -> None:
    path = repository / CONTRACT
    path.write_text(path.read_text().replace("  - alcohol: 13.2", "  - alcohol: 1300.2"))
    done = models(
        "check", "--repository", str(repository), "--triton", stack.endpoints["triton_grpc"]
    )
    assert done.returncode == 1
    assert "example" in done.stdout
    assert "alcohol" in done.stdout


def test_a_triton_that_is_away_is_told_in_one_line(repository: Path) -> None:
    done = models("check", "--repository", str(repository), "--triton", "127.0.0.1:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Triton cannot answer for it" in done.stdout


def test_a_repository_that_is_not_there_is_refused() -> None:
    for command in ("check", "list", "build"):
        done = models(command, "--repository", "/nowhere")
        assert done.returncode == 2
        assert "/nowhere" in done.stderr


def test_list_goes_on_without_a_faulty_contract(repository: Path) -> None:
    path = repository / CONTRACT
    path.write_text(path.read_text().replace("datatype: FP32", "datatype: FP33"))
    done = models("list", "--repository", str(repository))
    assert done.returncode == 0
    assert "sentiment" in done.stdout
    assert "1 fault(s)" in done.stderr


def test_the_repository_is_not_changed_by_a_check() -> None:
    before = sorted(path for path in REPOSITORY.rglob("*") if "__pycache__" not in path.parts)
    models("check")
    after = sorted(path for path in REPOSITORY.rglob("*") if "__pycache__" not in path.parts)
    assert before == after
