"""The keys of `tidegate up`: drawn once, kept, private, and never shown."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.admission.identity import apikeys
from control_plane.local.credentials import Credentials, ensure_credentials, secret_settings
from control_plane.local.datadir import DataDir

ADMIN_VARIABLE = "TIDEGATE_BOOTSTRAP_ADMIN_KEY"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    with DataDir.claim(tmp_path / "data", lambda _: None) as claimed:
        yield claimed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_drawn_at_the_first_start_and_stay(data: DataDir) -> None:
    drawn = ensure_credentials(data)
    assert apikeys.parse(drawn.demo_key) is not None
    assert apikeys.parse(drawn.admin_key) is not None
    assert drawn.demo_key != drawn.admin_key
    assert ensure_credentials(data) == drawn
    path = data.root / "credentials.json"
    assert json.loads(path.read_text()) == {
        "demo_key": drawn.demo_key, "admin_key": drawn.admin_key,
    }  # fmt: skip


def test_only_the_owner_may_read_them_even_if_that_was_changed(data: DataDir) -> None:
    ensure_credentials(data)
    path = data.root / "credentials.json"
    assert mode(path) == 0o600
    path.chmod(0o644)
    ensure_credentials(data)
    assert mode(path) == 0o600


def test_a_file_that_lacks_a_key_gets_it_and_keeps_the_other(data: DataDir) -> None:
    kept, _ = apikeys.mint()
    (data.root / "credentials.json").write_text(json.dumps({"demo_key": kept}))
    found = ensure_credentials(data)
    assert found.demo_key == kept
    assert apikeys.parse(found.admin_key) is not None


def test_the_operators_key_of_the_environment_takes_its_place(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, given = ensure_credentials(data), apikeys.mint()[0]
    monkeypatch.setenv(ADMIN_VARIABLE, given)
    assert ensure_credentials(data) == Credentials(drawn.demo_key, given)


def test_secrets_come_from_the_directory_unless_the_environment_has_them(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = Credentials("demo", "admin")
    monkeypatch.delenv("TIDEGATE_KEY_PEPPER", raising=False)
    monkeypatch.setenv("TIDEGATE_DATA_KEY", "A" * 43)
    assert secret_settings(data, credentials) == {
        "bootstrap_admin_key": "admin", "key_pepper": (data.root / "key-pepper").read_text(),
    }  # fmt: skip
    assert not (data.root / "data-key").exists()


def test_keys_are_not_shown_by_accident() -> None:
    assert "secret" not in f"{Credentials('secret-1', 'secret-2')!r}"
