"""``tidegate models``: the files of a repository, and the lives of its versions."""

from __future__ import annotations

from typing import Final

import click

from control_plane.cli import Lazy, LazyGroup

_FILES: Final = "control_plane.cli.model_files:"
_LIVES: Final = "control_plane.cli.model_lives:"

COMMANDS: Final = {
    "build": Lazy(_FILES + "build", "Assemble the repository."),
    "train": Lazy(_FILES + "train", "Train a family of models again (for authors)."),
    "check": Lazy(_FILES + "check", "Hold contracts against config.pbtxt and Triton."),
    "list": Lazy(_FILES + "list_models", "List the public versions of the repository."),
    "diff": Lazy("control_plane.cli.model_diff:diff", "Explain what a version's contract breaks."),
    "refresh": Lazy(_LIVES + "refresh", "Make version directories known that were added."),
    "status": Lazy(_LIVES + "status", "Show lives, readiness and accuracy of versions."),
    "promote": Lazy(_LIVES + "promote", "Make a version the stable one."),
    "deprecate": Lazy(_LIVES + "deprecate", "Announce the end of a version."),
    "retire": Lazy(_LIVES + "retire", "End a version: 410."),
    "revive": Lazy(_LIVES + "revive", "Take a retired version back as experimental."),
    "load": Lazy(_LIVES + "load", "Let every Triton load a version."),
    "unload": Lazy(_LIVES + "unload", "Let every Triton unload a version."),
    "alias": Lazy(_LIVES + "alias", "Give a version a name, or take one away."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def models() -> None:
    """Models: their files, and the lives of their versions.

    build, train, check and list work on files; the others speak with the operators' API.

    \b
    tidegate models refresh                         a directory was added
    tidegate models diff sentiment v1.0.0 v2.0.0    what would break
    tidegate models promote sentiment v2.0.0        now it answers who names no version
    tidegate models deprecate sentiment v1.0.0 --sunset 2027-03-31
    """  # noqa: D301 (\b is click's mark for a block)
