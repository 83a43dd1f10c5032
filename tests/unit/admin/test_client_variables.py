"""What the commands read from the environment does not stop a server from starting."""

from __future__ import annotations

import pytest

from control_plane.environment import CLIENT_VARIABLES, InvalidSettings, load_settings


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environment)
    return caught.value.problems


def test_address_and_key_of_the_commands_are_no_unknown_settings() -> None:
    assert problems(dict.fromkeys(CLIENT_VARIABLES, "x")) == problems({})
    assert len(problems({"TIDEGATE_ADMIN_KEYS": "x"})) == len(problems({})) + 1
