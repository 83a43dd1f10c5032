"""What the Tritons are to have loaded, from the repository and the records."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.inference.model_config import with_steps
from control_plane.inference.target import Target
from control_plane.routing.state import ModelState
from control_plane.types import Life, ModelRef
from control_plane.versions.shelf import Shelf

NOTHING = Target({})
"""Nothing is loaded and nothing unloaded."""


def target(shelf: Shelf, states: Mapping[str, ModelState], former: frozenset[str]) -> Target:
    """The Triton models that are wanted, and those that may go.

    A Triton model is wanted while one of its versions is; a version that has no state yet is.
    Models without a contract are none of this control plane's: they stay as they are, and so do
    the steps that they are made of.

    Args:
        shelf: The repository.
        states: Of all models.
        former: Triton models that had a contract earlier.
    """
    wanted: dict[str, set[str]] = {}
    for ref, compiled in shelf.contracts.items():
        if is_wanted(states, ref):
            wanted.setdefault(compiled.backing.model, set()).add(compiled.backing.version)
    public = shelf.public | former
    others = shelf.configs.keys() - public
    return Target(
        wanted={
            model: frozenset(wanted.get(model, ())) for model in with_steps(wanted, shelf.configs)
        },
        may_go=public - with_steps(others, shelf.configs),
    )


def is_wanted(states: Mapping[str, ModelState], ref: ModelRef) -> bool:
    """True if the records want a version to be loaded, or do not know it yet."""
    state = states.get(ref.name)
    stands = None if state is None else state.versions.get(str(ref.version))
    return stands is None or (stands.loaded and stands.life is not Life.RETIRED)
