"""Precision and recall of verdicts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from loadtests.abuse.replay import Verdict


class Score(Struct, frozen=True):
    """How well rules tell abusive from normal actors.

    Attributes:
        true: Abusive actors that were found.
        false: Normal actors that were found.
        missed: Abusive actors that were not.
    """

    true: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of those found that are abusive; 1 if nobody was found."""
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def recall(self) -> float:
        """Share of the abusive that were found; 1 if there are none."""
        return self.true / (self.true + self.missed) if self.true + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def overall(verdicts: Sequence[Verdict]) -> Score:
    """All rules together."""
    found = [verdict for verdict in verdicts if verdict.rules]
    return Score(
        true=sum(verdict.abusive for verdict in found),
        false=sum(not verdict.abusive for verdict in found),
        missed=sum(verdict.abusive and not verdict.rules for verdict in verdicts),
    )


def of_rule(verdicts: Sequence[Verdict], rule: str, meant_for: Collection[str]) -> Score:
    """One rule, by the actors that it is there for.

    Args:
        verdicts: Of all actors.
        rule: Its name.
        meant_for: Kinds of actors that it is there for.
    """
    found = [verdict for verdict in verdicts if rule in verdict.rules]
    return Score(
        true=sum(verdict.abusive for verdict in found),
        false=sum(not verdict.abusive for verdict in found),
        missed=sum(
            verdict.actor in meant_for and rule not in verdict.rules for verdict in verdicts
        ),
    )
