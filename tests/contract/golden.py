"""Golden files: what the public surface is, so that no change of it goes unnoticed.

``UPDATE_GOLDEN=1 make test ARGS=tests/contract`` writes them again; the diff shows what changed.
"""

from __future__ import annotations

import difflib
import json
import os
from typing import Any

from tests.stack import CHECKOUT

FOLDER = CHECKOUT / "tests" / "golden"


def check(name: str, surface: Any) -> None:
    """Compare a surface with its golden file, or write the file if UPDATE_GOLDEN is set."""
    path = FOLDER / f"{name}.json"
    text = json.dumps(surface, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    changes = difflib.unified_diff(
        expected.splitlines(), text.splitlines(), str(path), "now", lineterm="", n=2
    )
    shown = "\n".join(list(changes)[:60])
    assert expected == text, f"{shown}\nMeant? UPDATE_GOLDEN=1 make test ARGS=tests/contract"
