"""Which failures are tried again, and when."""

from __future__ import annotations

import pytest

from control_plane.error_codes import CATALOGUE
from control_plane.errors import TidegateError
from control_plane.jobs.work.failures import CAP_S, FIRST_S, JITTER, delay_ms, may_pass


def failure(code: str = "MODEL_UNAVAILABLE", **headers: str) -> TidegateError:
    return TidegateError(
        "x", code=code, headers={n.replace("_", "-"): v for n, v in headers.items()}
    )


def half() -> float:
    return 0.5


@pytest.mark.parametrize("code", ["MODEL_UNAVAILABLE", "OVERLOADED", "DEADLINE_EXCEEDED",
                                  "MODEL_FAILED", "UPLOADS_UNAVAILABLE", "INTERNAL"])  # fmt: skip
def test_what_may_pass_is_tried_again(code: str) -> None:
    assert may_pass(failure(code))


@pytest.mark.parametrize("code", ["INVALID_INPUT", "MODEL_VERSION_RETIRED", "OBJECT_UNUSABLE",
                                  "NOT_AVAILABLE", "ADDRESS_REFUSED"])  # fmt: skip
def test_what_stays_as_it_is_fails_at_once(code: str) -> None:
    assert not may_pass(failure(code))


def test_every_code_is_one_or_the_other() -> None:
    assert all(may_pass(failure(code)) is spec.retryable for code, spec in CATALOGUE.items())


def test_the_wait_grows_by_a_factor_up_to_its_cap() -> None:
    waits = [delay_ms(failure(), attempts, half) for attempts in range(1, 21)]
    assert waits[:4] == [1000, 8000, 64_000, 512_000]
    assert waits == sorted(waits)
    assert waits[-1] == CAP_S * 1000


def test_chance_spreads_the_waits() -> None:
    shortest, longest = delay_ms(failure(), 1, lambda: 0.0), delay_ms(failure(), 1, lambda: 1.0)
    assert (shortest, longest) == (1000 * FIRST_S * (1 - JITTER), 1000 * FIRST_S * (1 + JITTER))


def test_retry_after_is_the_least_that_is_waited() -> None:
    assert delay_ms(failure(retry_after="30"), 1, half) == 30_000
    assert delay_ms(failure(retry_after="30"), 3, half) == 64_000
    assert delay_ms(failure(retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 1, half) == 1000
