"""Counts what each client does, for the rules against abuse; one :class:`Watch` a process.

``note`` stands on the path of every request and only counts. Once a second ``take`` hands over
what was counted, ``study`` looks at some of the inputs within a budget of CPU time, and what comes
out, numbers only, goes to the limits server (``sightings.py``). Inputs are let go of within that
second.

Memory is bounded: 2,500 clients with a tenant and 2,500 without a minute, habits of the 2,000
clients looked at last, and inputs of at most 4 MiB of bodies. What is beyond is not watched;
``overflow`` counts the requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

from control_plane.admission.abuse.probing import Habits
from control_plane.admission.abuse.seen import Counts, Outcome, Seen, Spread
from control_plane.admission.recent import Recent

MAX_CLIENTS: Final = 2_500
"""Clients with a tenant that are counted in a minute; as many without one."""
MAX_HABITS: Final = 2_000
MAX_INPUTS: Final = 20
"""Inputs of one client that are looked at in a second."""
MAX_BODY: Final = 65_536
"""Inputs of larger bodies are not looked at, bytes."""
MAX_PENDING: Final = 4 * 1_048_576
MAX_CREDENTIALS: Final = 1_000
"""Different credentials of one address that are told apart in a second."""


class _Tally:
    """What was counted of one client; inputs that nobody has looked at yet."""

    __slots__ = ("counts", "inputs", "network")

    def __init__(self, network: str) -> None:
        self.counts = [0] * len(Counts.__struct_fields__)
        self.network = network
        self.inputs: list[Mapping[str, Any]] = []

    def add(self, numbers: Sequence[int], first: int = 0) -> None:
        for place, number in enumerate(numbers, first):
            self.counts[place] += number


class Batch:
    """What was counted between two calls of ``take``."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], _Tally] = {}
        self.valid: dict[str, set[str]] = {}
        self.refused: dict[str, set[str]] = {}
        self.pending = 0

    def seen(self) -> list[Seen]:
        """What each client did."""
        return [
            Seen(subject, client, Counts(*tally.counts))
            for (subject, client), tally in self.tallies.items()
        ]

    def spreads(self) -> list[Spread]:
        """The keys that came from each address."""
        return [
            Spread(
                network,
                frozenset(self.valid.get(network, ())),
                frozenset(self.refused.get(network, ())),
            )
            for network in self.valid.keys() | self.refused.keys()
        ]


class Watch:
    """Counts in this process."""

    def __init__(self, max_clients: int = MAX_CLIENTS, max_habits: int = MAX_HABITS) -> None:
        """Watch nobody yet.

        Args:
            max_clients: Clients with a tenant that are counted in a minute, and as many without.
            max_habits: Clients whose earlier inputs are remembered, at least 1.
        """
        self.overflow = 0
        self._max_clients = max_clients
        self._batch = Batch()
        self._known: tuple[set[str], set[str]] = (set(), set())
        self._minute = 0
        self._habits: Recent[tuple[str, str], Habits] = Recent(max_habits)

    def note(
        self,
        subject: str,
        client: str,
        network: str,
        outcome: Outcome,
        inputs: Sequence[Mapping[str, Any]] = (),
        body_bytes: int = 0,
    ) -> None:
        """Count a request that has ended.

        Args:
            subject: Whose limits it shares.
            client: Who of the subject.
            network: Address it came from, as in the subject of an anonymous caller.
            outcome: How it ended.
            inputs: Its decoded inputs; they are not changed, and let go of within a second.
            body_bytes: Size of its body.
        """
        tally = self._batch.tallies.get((subject, client))
        if tally is None:
            tally = self._open(subject, client, network)
            if tally is None:
                return
        elif tally.network != network:
            self._came_from(client, network)
            tally.network = network
        tally.counts[outcome] += 1
        if inputs and len(tally.inputs) < MAX_INPUTS and body_bytes <= MAX_BODY:
            self._keep(tally, inputs, body_bytes)

    def refused(self, network: str, credential: str) -> None:
        """Count a request whose credentials were refused; it counts for the address.

        Args:
            network: Address it came from, as in the subject of an anonymous caller.
            credential: Public id of the key that was claimed, or a short digest of what was sent;
                never a credential.
        """
        subject = f"a:{network}"
        self.note(subject, subject, network, Outcome.AUTH)
        if (subject, subject) in self._batch.tallies:
            _add(self._batch.refused, network, credential)

    def take(self, minute: int) -> Batch:
        """Hand over what was counted, and begin anew.

        Args:
            minute: Minutes since 1970.
        """
        batch, self._batch = self._batch, Batch()
        if minute != self._minute:
            self._minute = minute
            self._known = (set(), set())
        return batch

    def give_back(self, batch: Batch) -> None:
        """Count again what could not be handed on; inputs that were not looked at are dropped."""
        for (subject, client), tally in batch.tallies.items():
            ours = self._batch.tallies.get((subject, client))
            if ours is None:
                ours = self._open(subject, client, tally.network)
            if ours is not None:
                ours.add(tally.counts)
        for theirs, mine in (
            (batch.valid, self._batch.valid),
            (batch.refused, self._batch.refused),
        ):
            for network, names in theirs.items():
                for name in names:
                    _add(mine, network, name)

    def study(self, batch: Batch, budget_s: float) -> Iterator[None]:
        """Look at the inputs of a batch; yields after each client, for others to have a turn.

        Clients beyond the budget are not looked at.

        Args:
            batch: What ``take`` handed over.
            budget_s: CPU time to spend, seconds.
        """
        for key, tally in batch.tallies.items():
            inputs, tally.inputs = tally.inputs, []
            if not inputs or budget_s <= 0:
                continue
            started = perf_counter()
            habits = self._habits_of(key)
            for item in inputs:
                tally.add(habits.study(item), Outcome.FAILED + 1)
            budget_s -= perf_counter() - started
            yield

    def _keep(self, tally: _Tally, inputs: Sequence[Mapping[str, Any]], body_bytes: int) -> None:
        if self._batch.pending + body_bytes <= MAX_PENDING:
            self._batch.pending += body_bytes
            tally.inputs.extend(inputs[: MAX_INPUTS - len(tally.inputs)])

    def _open(self, subject: str, client: str, network: str) -> _Tally | None:
        known = self._known[subject.startswith("a:")]
        if client not in known:
            if len(known) >= self._max_clients:
                self.overflow += 1
                return None
            known.add(client)
        tally = self._batch.tallies[subject, client] = _Tally(network)
        self._came_from(client, network)
        return tally

    def _came_from(self, client: str, network: str) -> None:
        if not client.startswith("a:"):
            _add(self._batch.valid, network, client)

    def _habits_of(self, key: tuple[str, str]) -> Habits:
        habits = self._habits.get(key)
        if habits is None:
            habits = Habits()
            self._habits.put(key, habits)
        return habits


def _add(sets: dict[str, set[str]], network: str, name: str) -> None:
    names = sets.setdefault(network, set())
    if len(names) < MAX_CREDENTIALS:
        names.add(name)
