from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.local.datadir import DataDir, create_private, replace_private
from control_plane.local.errors import StartRefused


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    with DataDir.claim(tmp_path / "deep" / "data", lambda _: None) as claimed:
        yield claimed


def test_a_second_instance_is_refused_with_the_holder(data: DataDir) -> None:
    with pytest.raises(StartRefused) as refused:
        DataDir.claim(data.root, lambda _: None)
    assert f"in use by process {os.getpid()};" in str(refused.value)
    assert "--data-dir" in str(refused.value)


def test_it_can_be_claimed_again_after_it_was_closed(tmp_path: Path) -> None:
    for _ in range(2):
        DataDir.claim(tmp_path, lambda _: None).close()


def test_it_can_be_claimed_although_a_killed_instance_left_its_files(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999999\n")
    (tmp_path / "endpoints.json").write_text("{half")
    with DataDir.claim(tmp_path, lambda _: None) as data:
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
        data.write_endpoints({"http": "127.0.0.1:1"})
        assert json.loads((tmp_path / "endpoints.json").read_text()) == {"http": "127.0.0.1:1"}


def test_it_is_not_claimed_while_a_child_of_a_killed_instance_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.local.datadir.LEFTOVER_WAIT_S", 0.2)
    data = DataDir.claim(tmp_path, lambda _: None)
    child = os.dup(data.processes_fd)
    data.close()
    told: list[str] = []
    with pytest.raises(StartRefused, match="earlier run still use"):
        DataDir.claim(tmp_path, told.append)
    assert told == ["waiting for processes of a run that was killed to end"]
    os.close(child)
    DataDir.claim(tmp_path, told.append).close()


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match=r"cannot be written: .*; choose another"):
        DataDir.claim(tmp_path / "file" / "data", lambda _: None)


def test_secrets_are_private_and_stay(data: DataDir) -> None:
    first = data.secret("password")
    assert len(first) >= 43
    assert data.secret("password") == first
    assert data.secret("another") != first
    assert mode(data.root / "password") == 0o600


def test_endpoints_are_there_only_while_it_is_open(tmp_path: Path) -> None:
    with DataDir.claim(tmp_path, lambda _: None) as data:
        path = data.write_endpoints({"http": "127.0.0.1:8080"})
        assert json.loads(path.read_text()) == {"http": "127.0.0.1:8080"}
    assert not path.exists()


def test_a_fresh_folder_is_empty(data: DataDir) -> None:
    (data.folder("metrics") / "old.db").write_text("x")
    assert list(data.fresh_folder("metrics").iterdir()) == []
    assert mode(data.root / "metrics") == 0o700


def test_a_private_file_is_never_replaced_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_private(path, "first")
    with pytest.raises(FileExistsError):
        create_private(path, "second")
    assert path.read_text() == "first"
    replace_private(path, "third")
    assert path.read_text() == "third"
    assert mode(path) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
