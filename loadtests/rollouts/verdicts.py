"""Candidates that are bad, and one that is not, under the judge."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final

from loadtests.rollouts.gateway import Gateway
from loadtests.rollouts.results import Identical, TakenBack
from loadtests.rollouts.traffic import Seen, Traffic, number

STABLE: Final = "v1.0.0"
CANDIDATE: Final = "v1.1.0"
WEIGHT: Final = 10
"""Percent of the subjects."""
RATE: Final = 150.0
"""Requests a second."""
BEFORE_S: Final = 3.0
AFTER_S: Final = 5.0
ROLLED_BACK_S: Final = 2.0
"""What a roll-back may take in all processes, seconds."""
GIVEN_UP_S: Final = 150.0


def taken_back(gateway: Gateway, model: str, seed: int) -> TakenBack:
    """Try a bad candidate until the judge takes it back."""
    with Traffic(gateway, model, RATE, number, seed).flowing() as traffic:
        time.sleep(BEFORE_S)
        gateway.start(model, candidates=[{"version": CANDIDATE, "weight": WEIGHT}], again=True)
        begun = time.time()
        while gateway.is_running(model) and time.time() < begun + GIVEN_UP_S:
            time.sleep(0.1)
        time.sleep(AFTER_S)
        verdict = gateway.rolled_back_at(model, begun)
        if verdict is None:
            gateway.abort(model)
    return _judged([each for each in traffic.seen if each.ended > begun], begun, verdict)


def identical(gateway: Gateway, model: str, seconds: float) -> Identical:
    """Try a candidate that is the stable version under another name."""
    with Traffic(gateway, model, RATE, number).flowing() as traffic:
        gateway.start(model, candidates=[{"version": CANDIDATE, "weight": WEIGHT}])
        begun = time.time()
        while gateway.is_running(model) and time.time() < begun + seconds:
            time.sleep(0.5)
        alarms = int(not gateway.is_running(model))
        ended = time.time()
        if not alarms:
            gateway.abort(model)
    seen = [each for each in traffic.seen if begun < each.ended < ended]
    return Identical(
        seconds=ended - begun,
        requests=len(seen),
        of_candidate=sum(each.version == CANDIDATE for each in seen),
        alarms=alarms,
        failed=sum(each.status != HTTPStatus.OK for each in seen),
    )


def _judged(seen: list[Seen], begun: float, verdict: float | None) -> TakenBack:
    end = time.time() if verdict is None else verdict
    answers = [each for each in seen if each.version == CANDIDATE and not _failed(each)]
    late = [each.ended for each in answers if each.ended > end]
    failed = [each for each in seen if _failed(each)]
    until = [each for each in seen if each.ended <= end]
    failed_until = sum(map(_failed, until))
    return TakenBack(
        after_s=None if verdict is None else verdict - begun,
        requests=len(until),
        of_candidate=failed_until + sum(each.ended <= end for each in answers),
        failed=failed_until,
        lingered_s=max(late, default=end) - end,
        late=len(late),
        failed_later=sum(each.ended > end + ROLLED_BACK_S for each in failed),
    )


def _failed(seen: Seen) -> bool:
    return seen.status == 0 or seen.status >= HTTPStatus.INTERNAL_SERVER_ERROR
