"""Writes the reference pages that come from the code: errors, settings, metrics.

Run by ``make docs``; a test fails when a page is not what this would write.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from control_plane.environment import describe
from control_plane.error_codes import CATALOGUE
from control_plane.telemetry.metrics import Metrics

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py from the code; `make docs` writes it again. -->\n"


def errors_page() -> str:
    """The catalogue of error codes."""
    rows = [
        f"| `{code}` | {spec.status} | {spec.summary} | {spec.remedy} | "
        f"{'yes' if spec.retryable else 'no'} |"
        for code, spec in sorted(CATALOGUE.items(), key=lambda row: (row[1].status, row[0]))
    ]
    return (
        f"{NOTE}\n# Error catalogue\n\n"
        "Every error of the API is one envelope, whose `code` is one of these and no other. "
        "`docs/api.md` shows the envelope.\n\n"
        "| code | status | what happened | what to do | may succeed later |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def settings_page() -> str:
    """Every setting."""
    rows = [
        f"| `{row['variable']}` | {row['range']} | {row['default']} | {_cell(row['meaning'])} |"
        for row in describe()
    ]
    return (
        f"{NOTE}\n# Settings\n\n"
        "Read once at the start, from the environment. A variable that begins with `TIDEGATE_` "
        "and is not in this table, and a value outside its range, refuse the start with a line "
        "that names them.\n\n"
        "| variable | type and range | default | meaning |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _cell(text: str) -> str:
    """A text within a table, where a bar would end its cell."""
    return text.replace("|", "\\|")


def metrics_page() -> str:
    """Every metric."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    rows = [
        f"| `{family.name}` | {family.type} | {', '.join(labels) or 'none'} "
        f"| {family.documentation} |"
        for family, labels in metrics.families()
    ]
    return (
        f"{NOTE}\n# Metrics\n\n"
        "`GET /metrics` on the admin port, for all processes of an instance together. No label "
        "holds a key, a tenant, an address or a payload. Counters end in `_total`, histograms in "
        "`_bucket`, `_sum` and `_count`.\n\n"
        "| metric | type | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


PAGES = {"errors.md": errors_page, "settings.md": settings_page, "metrics.md": metrics_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
