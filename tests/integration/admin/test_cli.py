"""The commands on top of the operators' API."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from control_plane.admission.identity.apikeys import parse
from control_plane.cli import main
from tests.integration.admin.conftest import Door, MintKey

Run = Callable[..., Result]


@pytest.fixture
def run(door: Door) -> Run:
    """Runs a command as the operator who may do everything."""
    environment = {"TIDEGATE_ADMIN_URL": door.url, "TIDEGATE_ADMIN_KEY": door.root_key}

    def command(*argv: str, **changes: str | None) -> Result:
        return CliRunner().invoke(main, argv, env={**environment, **changes})

    return command


@pytest.fixture
def done(run: Run) -> Callable[..., Any]:
    """Runs a command that must succeed, and reads its JSON."""

    def command(*argv: str) -> Any:
        result = run(*argv, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return command


def test_a_tenant_by_commands(
    door: Door, run: Run, done: Callable[..., Any], root: httpx.Client
) -> None:
    name = door.name()
    made = done("tenants", "create", name, "--tier", "free", "--title", "A")
    assert made == root.get(f"/tenants/{name}").json()
    changed = done("tenants", "set", name, "--tier", "pro", "--suspended")
    assert (changed["tier"], changed["suspended"]) == ("pro", True)
    override = ("tenants", "override", name)
    done(*override, "--burst", "9", "--month-units", "none")
    assert done(*override, "--requests", "5")["overrides"] == {
        "burst": 9, "month_units": None, "requests": 5,
    }  # fmt: skip
    assert done(*override, "--burst", "tier")["overrides"] == {"month_units": None, "requests": 5}
    assert done(*override, "--clear")["overrides"] == {}
    assert done("tenants", "show", name)["revision"] == 6
    assert name in [tenant["id"] for tenant in done("tenants", "list")]
    assert run("tenants", "delete", name).exit_code == 2
    assert run("tenants", "delete", name, "--yes").exit_code == 0
    assert run("tenants", "show", name).exit_code == 1


def test_a_tier_by_commands(door: Door, run: Run, done: Callable[..., Any]) -> None:
    name = door.name()
    limits = ("--requests", "60", "--burst", "20", "--concurrency", "4", "--day-units", "9")
    made = done("tiers", "create", name, *limits, "--unit-price", "7")
    assert (made["limits"]["day_units"], made["unit_price"]) == (9, 7)
    changed = done("tiers", "set", name, "--day-units", "none", "--overage", "bill")
    assert (changed["limits"]["day_units"], changed["limits"]["overage"]) == (None, "bill")
    assert changed["limits"]["priority"] == "low"
    changed = done("tiers", "set", name, "--priority", "normal")
    assert changed["limits"]["priority"] == "normal"
    assert done("tiers", "show", name) == changed
    assert name in [tier["name"] for tier in done("tiers", "list")]
    assert run("tiers", "delete", name, "--yes").exit_code == 0


def test_a_key_by_commands(run: Run, done: Callable[..., Any], tenant: str) -> None:
    made = done("keys", "create", tenant, "--scope", "predict:a", "--network", "10.0.0.0/8",
                "--expires-in", "3")  # fmt: skip
    record = made["record"]
    assert (record["scopes"], record["networks"]) == (["predict:a"], ["10.0.0.0/8"])
    assert abs(record["expires_at"] - record["created_at"] - 3 * 86_400) < 60
    rotated = done("keys", "rotate", record["id"], "--overlap", "0")
    assert rotated["key"] != made["key"]
    assert done("keys", "revoke", record["id"])["state"] == "revoked"
    assert done("keys", "show", record["id"])["state"] == "revoked"
    assert [key["id"] for key in done("keys", "list", tenant)] == [record["id"]]
    assert made["key"] not in run("keys", "list", tenant).output


def test_a_new_key_is_alone_on_standard_output_with_its_record(run: Run, tenant: str) -> None:
    result = run("keys", "create", tenant)
    assert parse(result.stdout.splitlines()[-1]) is not None
    assert "shown this once" in result.stderr


def test_lists_go_beyond_one_page(
    done: Callable[..., Any], tenant: str, new_key: MintKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.cli.operators.PAGE", 2)
    ids = sorted(new_key(tenant, "predict")["record"]["id"] for _ in range(5))
    assert [key["id"] for key in done("keys", "list", tenant)] == ids


def test_tables_are_aligned(run: Run) -> None:
    lines = run("tiers", "list").stdout.splitlines()
    assert lines[0].startswith("NAME")
    column = lines[0].index("TITLE")
    assert {line[column - 1] for line in lines} == {" "}


def test_an_error_has_code_message_and_request_id(run: Run, tenant: str) -> None:
    result = run("tenants", "set", tenant, "--tier", "no")
    assert result.exit_code == 1
    assert "INVALID_INPUT" in result.stderr
    assert "tier: there is no such tier" in result.stderr
    assert "(req_" in result.stderr


def test_a_revision_guards_a_change(run: Run, tenant: str) -> None:
    assert run("tenants", "set", tenant, "--title", "a", "--revision", "1").exit_code == 0
    late = run("tenants", "set", tenant, "--title", "b", "--revision", "1")
    assert (late.exit_code, "REVISION_CONFLICT" in late.stderr) == (1, True)


@pytest.mark.parametrize(
    ("argv", "environment", "message"),
    [
        (("--url", "http://127.0.0.1:1"), {}, "does not answer"),
        (("--url", "nonsense"), {}, "does not answer"),
        (("--url", "http://["), {}, "does not answer"),
        ((), {"TIDEGATE_ADMIN_KEY": "wrong"}, "UNAUTHENTICATED"),
        ((), {"TIDEGATE_ADMIN_KEY": "schlüssel"}, "is no API key"),
        ((), {"TIDEGATE_ADMIN_KEY": None}, "set TIDEGATE_ADMIN_KEY"),
        (("--data-dir", "/nowhere"), {"TIDEGATE_ADMIN_URL": None}, "endpoints.json"),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    run: Run, argv: tuple[str, ...], environment: dict[str, str | None], message: str
) -> None:
    result = run("tiers", "list", *argv, **environment)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize("status", [200, 502])
def test_a_server_that_is_another_is_told_apart(run: Run, status: int) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>")

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        result = run("tiers", "list", "--url", f"http://127.0.0.1:{server.server_port}")
    assert result.exit_code == 1
    assert f"answers {status}, and not as an operators' API does" in result.stderr


def test_a_data_directory_has_address_and_key(run: Run, door: Door, tmp_path: Path) -> None:
    address = door.url.removeprefix("http://")
    (tmp_path / "endpoints.json").write_text(json.dumps({"admin": address}))
    (tmp_path / "credentials.json").write_text(json.dumps({"admin_key": door.root_key}))
    nothing = {"TIDEGATE_ADMIN_URL": None, "TIDEGATE_ADMIN_KEY": None}
    found = run("tiers", "list", "--data-dir", str(tmp_path), **nothing)
    assert found.exit_code == 0, found.output
    elsewhere = run("tiers", "list", "--data-dir", str(tmp_path), "--url", door.url, **nothing)
    assert "set TIDEGATE_ADMIN_KEY" in elsewhere.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ("tenants", "set", "acme"),
        ("tenants", "override", "acme"),
        ("tenants", "override", "acme", "--clear", "--burst", "1"),
        ("tenants", "override", "acme", "--burst", "none"),
        ("tenants", "override", "acme", "--burst", "-1"),
        ("tiers", "set", "pro"),
        ("keys", "rotate", "aaaaaaaaaaaa", "--overlap", "604801"),
        ("keys", "create", "acme", "--expires-in", "0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_call(run: Run, argv: tuple[str, ...]) -> None:
    assert run(*argv, TIDEGATE_ADMIN_URL="http://127.0.0.1:1").exit_code == 2


def test_a_key_is_minted_without_a_server() -> None:
    argv = [sys.executable, "-m", "control_plane", "keys", "mint"]
    first, second = (
        subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()
        for _ in range(2)
    )
    assert parse(first) is not None
    assert first != second


@pytest.mark.parametrize("group", ["tenants", "tiers", "keys", "usage"])
def test_help_is_there(group: str) -> None:
    assert group in CliRunner().invoke(main, ["--help"]).stdout
    commands = CliRunner().invoke(main, [group, "--help"])
    assert "show" in commands.stdout
    assert "\\b" not in commands.stdout


@pytest.mark.parametrize("months", [(), ("--months",)])
def test_usage_by_commands(
    run: Run, done: Callable[..., Any], tenant: str, months: tuple[str, ...]
) -> None:
    assert done("usage", "show", tenant)["tenant"] == tenant
    exported = run("usage", "export", "--tenant", tenant, "--from", "2026-01", *months)
    assert exported.exit_code == 0, exported.output
    assert exported.stdout.startswith("tenant,")
    lines = run("usage", "export", "--tenant", tenant, "--format", "ndjson", *months)
    assert (lines.exit_code, lines.stdout) == (0, "")
    refused = run("usage", "export", "--from", "yesterday", *months)
    assert (refused.exit_code, "INVALID_PARAMETER" in refused.stderr) == (1, True)


def test_pages_of_lines_are_joined() -> None:
    class Lines(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if "cursor=more" not in self.path:
                self.send_header("x-next-cursor", "more")
            self.end_headers()
            self.wfile.write(b"second\n" if "cursor=more" in self.path else b"first\n")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Lines) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        argv = ["usage", "export", "--url", url]
        result = CliRunner().invoke(main, argv, env={"TIDEGATE_ADMIN_KEY": "k"})
        server.shutdown()
    assert result.stdout == "first\nsecond\n"
