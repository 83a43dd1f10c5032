"""A model repository: what is public, what is left out, and that the rest stays up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from control_plane.contracts.repository import read_repository
from control_plane.contracts.source import FaultyContract

Document = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, document: Document) -> Write:
    """Writes a contract into a place of the repository."""

    def build(place: str, text: str | None = None, **changes: Any) -> Path:
        folder = tmp_path / place
        folder.mkdir(parents=True)
        file = folder / "contract.yaml"
        file.write_text(json.dumps(document(**changes)) if text is None else text)
        return file

    return build


def test_a_directory_with_a_contract_is_public_and_one_without_is_not(
    tmp_path: Path, write: Write
) -> None:
    write("b/1", version="v2.0.0")
    write("a/3", version="v1.0.0")
    (tmp_path / "internal" / "1").mkdir(parents=True)
    reading = read_repository(tmp_path)
    assert reading.faults == []
    assert [(str(c.ref), str(c.backing)) for c in reading.contracts] == [
        ("house v1.0.0", "a/3"),
        ("house v2.0.0", "b/1"),
    ]


def test_a_faulty_contract_leaves_its_version_out_and_the_rest_up(
    tmp_path: Path, write: Write
) -> None:
    write("a/1", text="model: [")
    write("b/1")
    reading = read_repository(tmp_path)
    assert [str(compiled.backing) for compiled in reading.contracts] == ["b/1"]
    assert [fault.file for fault in reading.faults] == ["a/1/contract.yaml"]


@pytest.mark.parametrize("folder", ["0", "01", "v1", "1.0", "-1", "\u0661", "latest"])
def test_a_folder_that_triton_ignores_is_a_fault(tmp_path: Path, write: Write, folder: str) -> None:
    write(f"a/{folder}")
    reading = read_repository(tmp_path)
    assert not reading.contracts
    assert folder in reading.faults[0].message


def test_a_version_that_two_directories_claim_is_left_out(tmp_path: Path, write: Write) -> None:
    write("a/1")
    write("b/1")
    write("c/1", version="v2.0.0")
    reading = read_repository(tmp_path)
    assert [str(compiled.ref) for compiled in reading.contracts] == ["house v2.0.0"]
    assert sorted(fault.file for fault in reading.faults) == [
        "a/1/contract.yaml",
        "b/1/contract.yaml",
    ]


def test_the_card_beside_the_contract_is_kept(tmp_path: Path, write: Write) -> None:
    write("a/1").with_name("card.yaml").write_text("accuracy: 0.5\nnotes: [no]")
    assert read_repository(tmp_path).contracts[0].card == {"accuracy": 0.5, "notes": ["no"]}


@pytest.mark.parametrize("card", ["- a", "a: [", "a: 2001-01-01", "1: a", 'a: "\\ud800"'])
def test_a_faulty_card_leaves_the_version_out(tmp_path: Path, write: Write, card: str) -> None:
    write("a/1").with_name("card.yaml").write_text(card)
    reading = read_repository(tmp_path)
    assert not reading.contracts
    assert [fault.file for fault in reading.faults] == ["a/1/card.yaml"]


def test_a_contract_that_is_a_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a" / "1" / "contract.yaml").mkdir(parents=True)
    assert [fault.line for fault in read_repository(tmp_path).faults] == [0]


def test_a_link_to_nothing_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a" / "1").mkdir(parents=True)
    (tmp_path / "a" / "1" / "contract.yaml").symlink_to(tmp_path / "nowhere")
    reading = read_repository(tmp_path)
    assert [fault.file for fault in reading.faults] == ["a/1/contract.yaml"]


def test_an_empty_repository_has_nothing_and_no_faults(tmp_path: Path) -> None:
    reading = read_repository(tmp_path)
    assert not reading.contracts
    assert not reading.faults


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_repository_that_is_no_folder_is_a_fault(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "repository"
    if kind == "file":
        root.write_text("")
    with pytest.raises(FaultyContract) as caught:
        read_repository(root)
    assert "TIDEGATE_MODEL_REPOSITORY" in caught.value.faults[0].remedy


@pytest.mark.parametrize("field", ["title", "description"])
def test_a_contract_that_cannot_be_sent_as_json_is_left_out(
    tmp_path: Path, write: Write, field: str
) -> None:
    write("a/1", **{field: "\ud800"})
    reading = read_repository(tmp_path)
    assert not reading.contracts
    assert reading.faults
