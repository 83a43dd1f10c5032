from __future__ import annotations

import pytest

from control_plane.local import triton, valkey
from control_plane.local.supervisor import RestartPolicy


def test_restarts_wait_twice_as_long_each_time_up_to_a_cap() -> None:
    policy = RestartPolicy(first_s=0.25, cap_s=10)
    assert [policy.wait_s(deaths) for deaths in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 10, 10]
    assert policy.wait_s(10_000) == 10


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "I1123 13:15:40.565829 16242 model_lifecycle.cc:839] \"successfully loaded 'wine'\"",
            "successfully loaded 'wine'",
        ),
        (
            "E1123 13:15:40.565829 16242 model_lifecycle.cc:642] \"failed to load 'wine'\"",
            "error (model_lifecycle.cc:642): failed to load 'wine'",
        ),
        ("W1123 1:2:3.4 5 a.cc:1] careful", "warning (a.cc:1): careful"),
        ("I1123 13:15:42.643204 16242 server.cc:674] ", None),
        ("+------+", None),
        ("| wine | 1 | READY |", None),
        ("Traceback of a model", "Traceback of a model"),
    ],
)
def test_tritons_log_is_readable(line: str, shown: str | None) -> None:
    assert triton.readable(line) == shown


@pytest.mark.parametrize("gpu", ["present", "absent"])
def test_that_there_is_no_gpu_is_no_error_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    monkeypatch.setattr(triton, "has_gpu", lambda: gpu == "present")
    line = 'E1123 1:2:3.4 5 server.cc:241] "CudaDriverHelper has not been initialized."'
    assert (triton.readable(line) is not None) == (gpu == "present")


def test_valkeys_log_is_readable() -> None:
    head = "29023:M 23 Nov 2026 13:29:53.123 # "
    assert valkey.readable(head + "Bad file format") == "Bad file format"
    assert valkey.readable(head + "WARNING Memory overcommit must be enabled! …") is None
    assert valkey.readable("29023:signal-handler (1795440632) Received SIGTERM") == (
        "Received SIGTERM"
    )
