"""The admin process starts and lives on whether its system of record is there or not."""

from __future__ import annotations

from pathlib import Path

from tests.integration.admin.conftest import admin_process
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.local.processes import eventually


def test_records_that_come_late_and_go(tmp_path: Path) -> None:
    port = free_port()
    with admin_process(f"redis://127.0.0.1:{port}/0", tmp_path) as door:
        with door.client(door.root_key) as root:
            away = root.get("/tiers")
            assert away.status_code == 503
            assert away.json()["error"]["code"] == "ADMISSION_UNAVAILABLE"
            assert away.headers["retry-after"] == "1"
            with counter_process("valkey", tmp_path, port):
                eventually(lambda: root.get("/tiers").is_success, door.log.read_text)
                eventually(lambda: root.get("/tiers").json()["items"], door.log.read_text)
            assert root.post("/tenants", json={"id": "a", "tier": "pro"}).status_code == 503
        assert "Traceback" not in door.log.read_text()
