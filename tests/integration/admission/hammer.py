"""A process that asks for admission as fast as it can; run as a script by the tests.

Reads a JSON object from its arguments, prints ``ready``, begins at a line on standard input, and
prints a JSON object at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Price
from control_plane.admission.principal import Principal
from control_plane.errors import TidegateError


def principal(tenant: str, limits: Limits) -> Principal:
    return Principal("key", f"t:{tenant}", tenant, f"k:{tenant}", "tests", limits, ("predict",))


async def hammer(plan: dict[str, Any]) -> dict[str, Any]:
    """Tasks that call in a loop for some seconds.

    Returns:
        ``counts`` by outcome, and the server's clock at each admission, ``stamps``.
    """
    limits = Limits(**plan["limits"])
    who = principal("hammered", limits)
    price = Price("wine", "v1.0.0", deadline_ms=plan["ttl_ms"], ahead=True, **plan["price"])
    loop = asyncio.get_running_loop()
    link = Link(plan["url"])
    gate = Gate(Ledger(link), replicas=lambda: plan["processes"], refused=lambda _: None)
    counts: Counter[str] = Counter()
    stamps: list[int] = []
    end = loop.time() + plan["seconds"]

    async def caller() -> None:
        while loop.time() < end:
            try:
                permit = gate.take(who, price) or await gate.admit(who, price, end + 10)
            except TidegateError as error:
                counts[error.code] += 1
                await asyncio.sleep(plan["pause_s"] * random.uniform(0.5, 1.5))
                continue
            counts["admitted"] += 1
            stamps.append(permit.standing.now_us)
            if plan["hold_s"]:
                await asyncio.sleep(plan["hold_s"])
            permit.confirm(0.0)

    await asyncio.gather(*(caller() for _ in range(plan["tasks"])))
    if plan["stop"] == "clean":
        await gate.close(5)
    link.close()
    return {"counts": counts, "stamps": stamps}


def main() -> None:
    plan = json.loads(sys.argv[1])
    shift = plan["clock_skew_s"]
    real = time.time
    time.time = lambda: real() + shift
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(uvloop.run(hammer(plan))) + "\n")


if __name__ == "__main__":
    main()
