"""Blocks, and which one follows from what was found: soft first, then hard, each twice as long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from control_plane.abuse import AbuseRules
from control_plane.admission.abuse.rules import Finding
from control_plane.admission.accounts.shapes import Epoch
from control_plane.patterns import exactly

OPERATOR: Final = "operator"
"""In place of a rule in blocks that an operator put."""

Level = Literal["soft", "hard"]
Subject = Annotated[
    str,
    Meta(
        pattern=exactly("t:[a-z0-9][a-z0-9_-]{0,62}|a:[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?"),
        description="`t:<tenant>`, or `a:<network>` of callers without a key",
    ),
]
ClientId = Annotated[
    str,
    Meta(
        pattern=exactly("([kja]:[A-Za-z0-9_.:/-]{1,126})?"),
        description="`k:<key id>`, `j:<digest>` of a token; empty for everyone of the subject",
    ),
]


class Block(Struct, frozen=True, kw_only=True):
    """A block, while it stands and as long as it counts against the client.

    Attributes:
        subject: Whose limits are blocked.
        client: Who of the subject; empty for everyone.
        level: ``soft``: a quarter of the limits, last in the queue, and a warning in every answer;
            ``hard``: no request is admitted.
        rule: Name of the rule, or ``operator``.
        reason: For people.
        since: Epoch second of its beginning.
        until: Epoch second of its end.
        evidence: The numbers that the rule saw.
        offences: Blocks that count against the client, this one included.
        by: Who put it: ``rule:<name>``, or ``k:<key id>`` of an operator.
    """

    subject: Subject
    client: ClientId = ""
    level: Level
    rule: str
    reason: str
    since: Epoch
    until: Epoch
    evidence: dict[str, float] = {}
    offences: int = 1
    by: str

    @property
    def target(self) -> str:
        """Whom it is about: subject and client with a bar between."""
        return f"{self.subject}|{self.client}"

    @property
    def packed(self) -> str:
        """As ``limits.lua`` reads it: level and end, epoch microseconds."""
        return f"{self.level};{self.until * 1_000_000}"

    @property
    def mark(self) -> str:
        """Tells it apart from the blocks before and after it; no spaces."""
        return f"{self.since}.{self.until}.{self.level}.{self.offences}.{self.rule}"

    def stands(self, now: float) -> bool:
        """True until its end."""
        return now < self.until


def held_from(previous: Block | None, rules: AbuseRules) -> int:
    """First whole minute, since 1970, whose requests may be held against a client.

    What led to a block counts once; and who gets a warning has time to mend.

    Args:
        previous: Its latest block, ended or not.
        rules: The grace.
    """
    return 0 if previous is None else -(-(previous.since + rules.grace_s) // 60)


def is_settled(previous: Block | None, now: float) -> bool:
    """True while nothing is to be judged: a hard block stands, or an operator's."""
    if previous is None or not previous.stands(now):
        return False
    return previous.level == "hard" or previous.rule == OPERATOR


def next_block(
    subject: str,
    client: str,
    findings: Sequence[Finding],
    previous: Block | None,
    rules: AbuseRules,
    now: int,
) -> Block:
    """The block that follows from findings.

    Args:
        subject: Whose limits the client shares.
        client: Who of the subject.
        findings: At least one, the first of which gives its name.
        previous: The client's latest block.
        rules: Lengths.
        now: Epoch seconds.
    """
    past = 0 if previous is None else _counting(previous, rules, now)
    level: Level = "hard" if past else "soft"
    length = min(rules.hard_s << min(past - 1, 32), rules.most_s) if past else rules.soft_s
    found = findings[0]
    return Block(
        subject=subject,
        client=client,
        level=level,
        rule=found.rule,
        reason=_REASONS[found.rule],
        since=now,
        until=now + length,
        evidence={name: round(float(number), 4) for name, number in found.evidence.items()},
        offences=past + 1,
        by=f"rule:{found.rule}",
    )


def kept_until(block: Block, forgive_s: int) -> int:
    """Epoch second after which a block counts no more."""
    return block.until + block.offences * forgive_s


def _counting(previous: Block, rules: AbuseRules, now: int) -> int:
    """Blocks of the past that still count: one less for each ``forgive_s`` without any."""
    calm_s = max(0, now - previous.until)
    return max(0, previous.offences - calm_s // rules.forgive_s)


_REASONS: Final = {
    "errors": "Most requests are wrong",
    "jump": "The rate jumped far above the client's own baseline",
    "keys": "Many different keys come from this address",
    "enumeration": "The inputs sweep the model's input space",
    "wordlist": "The texts are lists of words or random words",
}
