"""What this process offers: the repository's contracts under the states of their models.

Contracts change when the repository is read again, states when one is pushed; whichever does, a
further snapshot takes the place of the former.
"""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.admission.limits.permit import Price
from control_plane.contracts.compiler import CompiledContract
from control_plane.routing.catalog import Catalog, known, unknown
from control_plane.routing.selection import Router
from control_plane.routing.state import ModelState
from control_plane.types import ModelRef, Version


class Offer:
    """Contracts, prices and routes of this moment.

    Attributes:
        contracts: The compiled contract of every version.
        prices: Of one prediction with every version.
        states: Of the models, as far as they have been read.
        router: Finds the version that answers.
        edition: Grows with every change.
    """

    def __init__(
        self, contracts: Mapping[ModelRef, CompiledContract], default_model: str | None
    ) -> None:
        """Offer contracts whose models' states are not known yet.

        Args:
            contracts: The compiled contract of every version.
            default_model: The model of requests that name none; without it, the only model.
        """
        self.edition = 0
        self.contracts: Mapping[ModelRef, CompiledContract] = {}
        self.prices: Mapping[ModelRef, Price] = {}
        self.states: Mapping[str, ModelState] = {}
        self.router = Router(Catalog([], default_model))
        self._default_model = default_model
        self.adopt(contracts)

    def adopt(self, contracts: Mapping[ModelRef, CompiledContract]) -> None:
        """Offer other contracts."""
        self.contracts = contracts
        self.prices = {ref: _price(contract) for ref, contract in contracts.items()}
        self._publish()

    def follow(self, states: Mapping[str, ModelState]) -> None:
        """Offer what other states say."""
        self.states = states
        self._publish()

    def _publish(self) -> None:
        versions: dict[str, list[Version]] = {}
        for ref in self.contracts:
            versions.setdefault(ref.name, []).append(ref.version)
        models = []
        for name, found in versions.items():
            state = self.states.get(name)
            models.append(unknown(name, found) if state is None else known(state, found))
        self.router.follow(Catalog(models, self._default_model))
        self.edition += 1


def _price(contract: CompiledContract) -> Price:
    ref, document = contract.ref, contract.contract
    return Price(
        ref.name,
        str(ref.version),
        units=document.units,
        deadline_ms=document.deadline_ms,
        ahead=True,
    )
