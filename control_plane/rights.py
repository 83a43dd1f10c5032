"""What a caller may use, and what it may know of."""

from __future__ import annotations

from typing import Final

from control_plane.admission.principal import Principal
from control_plane.contracts.compiler import CompiledContract
from control_plane.errors import Forbidden, TidegateError, Unauthenticated
from control_plane.offer import Offer
from control_plane.types import ModelRef, Version

_ACTIONS: Final = ("predict", "explain")
"""What a model can be used for by itself: a job needs the right to predict, too."""


class Rights:
    """Of callers, over what is offered."""

    def __init__(self, offer: Offer) -> None:
        """Judge by an offer.

        Args:
            offer: The contracts say which versions need no key.
        """
        self._offer = offer

    def check(self, principal: Principal, contract: CompiledContract) -> None:
        """Raise unless the caller may predict with a version.

        Raises:
            Unauthenticated: If it needs a key and there is none.
            Forbidden: If the key has no scope for it.
        """
        if principal.kind == "anonymous":
            if not contract.contract.anonymous:
                raise Unauthenticated("This model needs an API key or an access token")
        else:
            _need(principal, "predict", contract)

    def check_jobs(self, principal: Principal, contract: CompiledContract) -> None:
        """Raise unless the caller may leave jobs for a version.

        Raises:
            Unauthenticated: Without credentials: jobs are of tenants.
            Forbidden: If they have no scope for it.
        """
        if principal.kind == "anonymous":
            raise Unauthenticated("Jobs are of tenants: an API key or an access token is needed")
        _need(principal, "jobs", contract)

    def is_visible(self, principal: Principal, ref: ModelRef) -> bool:
        """True if a caller may know of a version: its key covers the model, or it needs none."""
        if principal.kind == "anonymous":
            return self._offer.contracts[ref].contract.anonymous
        return any(principal.may(action, ref.name) for action in _ACTIONS)

    def visible_versions(self, principal: Principal, model: str) -> list[Version]:
        """The versions of a model that a caller may know of, ascending."""
        return [
            version
            for version in self._offer.router.model(model).versions
            if self.is_visible(principal, ModelRef(model, version))
        ]

    def told_to(
        self, principal: Principal, error: TidegateError, model: str | None = None
    ) -> TidegateError:
        """An error of routing that names nothing which the caller may not know of.

        Args:
            principal: Who is told.
            error: What the router raised.
            model: Of which model, if it is about versions.
        """
        models, versions = error.details.get("models"), error.details.get("versions")
        if models is not None:
            error.details["models"] = [
                name for name in models if self.visible_versions(principal, name)
            ]
        if versions is not None:
            name = self._offer.router.model(model).name
            shown = {str(version) for version in self.visible_versions(principal, name)}
            error.details["versions"] = [version for version in versions if version in shown]
        return error


def _need(principal: Principal, action: str, contract: CompiledContract) -> None:
    if not principal.may(action, contract.ref.name):
        scope = f"{action}:{contract.ref.name}"
        raise Forbidden(f"The credentials lack the scope {scope}", details={"scope": scope})
