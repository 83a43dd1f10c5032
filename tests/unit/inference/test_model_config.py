"""What a repository's configurations say of versions and of what a model is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.inference.model_config import config_faults, read_configs, with_steps

ENSEMBLE = """
platform: "ensemble" max_batch_size: 1
ensemble_scheduling {{ step [ {steps} ] }}
"""
PLAIN = 'backend: "python" max_batch_size: 1\n'


def write(root: Path, model: str, text: str, *versions: str) -> None:
    for version in versions or ("1",):
        (root / model / version).mkdir(parents=True)
    (root / model / "config.pbtxt").write_text(text)


def ensemble(*steps: str) -> str:
    named = [f'{{ model_name: "{step}" model_version: -1 }}' for step in steps]
    return ENSEMBLE.format(steps=", ".join(named))


def test_what_a_model_is_made_of_is_found_through_any_number_of_ensembles(tmp_path: Path) -> None:
    write(tmp_path, "outer", ensemble("inner", "head"))
    write(tmp_path, "inner", ensemble("tokenizer", "encoder"))
    for name in ("tokenizer", "encoder", "head", "other"):
        write(tmp_path, name, PLAIN)
    configs, _ = read_configs(tmp_path)
    assert configs["outer"].steps == {"inner", "head"}
    assert configs["head"].steps == frozenset()
    all_of_it = {"outer", "inner", "head", "tokenizer", "encoder"}
    assert with_steps(["outer"], configs) == all_of_it
    assert with_steps(["head", "other"], configs) == {"head", "other"}
    assert with_steps([], configs) == frozenset()


def test_steps_that_go_round_or_lead_nowhere_end(tmp_path: Path) -> None:
    write(tmp_path, "a", ensemble("b", "missing"))
    write(tmp_path, "b", ensemble("a"))
    configs, _ = read_configs(tmp_path)
    assert with_steps(["a", "unknown"], configs) == {"a", "b", "missing", "unknown"}


@pytest.mark.parametrize(
    ("policy", "versions", "unserved"),
    [
        ("", ["1"], ()),
        ("", ["1", "2", "10"], (1, 2)),
        ("version_policy { all {} }", ["1", "2"], ()),
        ("version_policy { latest { num_versions: 2 } }", ["1", "2", "10"], (1,)),
        ("version_policy { latest { num_versions: 3 } }", ["1", "2"], ()),
        ("version_policy { specific { versions: [1, 3] } }", ["1", "2", "3"], (2,)),
        ("", ["2", "x1", "03"], ()),
    ],
)
def test_a_version_that_triton_leaves_out_is_a_fault(
    tmp_path: Path, policy: str, versions: list[str], unserved: tuple[int, ...]
) -> None:
    write(tmp_path, "m", PLAIN + policy, *versions)
    configs, _ = read_configs(tmp_path)
    assert configs["m"].unserved() == unserved
    told = [fault for fault in config_faults(configs) if "leaves out" in fault.message]
    assert [fault.remedy for fault in told] == ["Set version_policy { all {} }"] * bool(unserved)
    assert all(f"leaves out {', '.join(map(str, unserved))}" in fault.message for fault in told)
