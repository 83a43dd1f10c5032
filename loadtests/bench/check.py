"""Was it right: answers of every target, given while it is under load, against Triton's own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from loadtests.bench.cases import TARGETS, Case, Payloads, headers, path
from loadtests.bench.load import Load

TRIES: Final = 20
TOLERANCE: Final = 1e-3
"""Probabilities may differ by so much: a batch adds up in another order than a lone input."""

Verdict = tuple[str, float]


class WrongAnswer(Exception):
    """A target predicted something else than Triton."""


def reference(case: Case, payloads: Payloads, url: str) -> list[Verdict]:
    """Label and confidence of every payload, from Triton alone and without load."""
    whole, named = url + path(case, "triton"), headers(case, "triton", "")
    return [_of_triton(payloads.labels, _post(whole, body, named)) for body in payloads.triton]


def check(target: str, load: Load, payloads: Payloads, expected: list[Verdict]) -> int:
    """Compare a target's answers with the reference.

    Args:
        target: Who is asked.
        load: Where and with which headers.
        payloads: What is sent.
        expected: The reference.

    Returns:
        The number of answers compared.

    Raises:
        WrongAnswer: Naming the first that differs.
    """
    bodies = payloads.triton if target == "triton" else payloads.public
    read = _readers(payloads.labels)[target]
    for body, (label, confidence) in zip(bodies, expected, strict=True):
        got = read(_post(load.url, body, load.headers))
        if got[0] != label or abs(got[1] - confidence) > TOLERANCE:
            raise WrongAnswer(
                f"{target} answered {got} where Triton says {(label, confidence)}: {body[:200]}"
            )
    return len(bodies)


def _readers(labels: list[str]) -> dict[str, Callable[[Any], Verdict]]:
    gateways = dict.fromkeys(TARGETS[1:], _of_gateway)
    return {"triton": lambda answer: _of_triton(labels, answer), **gateways}


def _of_triton(labels: list[str], answer: Any) -> Verdict:
    scores = next(
        output["data"] for output in answer["outputs"] if output["name"] == "PROBABILITIES"
    )
    best = max(range(len(scores)), key=scores.__getitem__)
    return labels[best], scores[best]


def _of_gateway(answer: Any) -> Verdict:
    return answer["prediction"], answer["confidence"]


def _post(url: str, body: str, named: dict[str, str]) -> Any:
    """The answer; one that was shed or came too late under the load is asked for anew."""
    request = urllib.request.Request(  # noqa: S310 (our own address)
        url, body.encode(), named, method="POST"
    )
    for _ in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in {503, 504}:
                raise
    raise WrongAnswer(f"{url} answered {TRIES} times in a row that it is overloaded")
