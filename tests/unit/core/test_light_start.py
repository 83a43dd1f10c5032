"""What a process does not load unless its settings ask for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = "import sys, control_plane.{}; print(*[m for m in {!r} if m in sys.modules])"
HEAVY = ("joserfc", "authlib", "httpx")


@pytest.mark.parametrize("root", ["app", "admin_app"])
def test_without_issuers_no_library_for_tokens_is_loaded(root: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(root, HEAVY)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
