"""A program that supervises Python snippets, for tests that send it signals and kill it.

``supervised.py '[[{"name": …, "code": …, "ready": PATH, "grace_s": …}]]'``: a child is ready when
the file exists, or, if its code names ``READY_FD``, when it has written to that descriptor. Prints
``ready`` when all are. The snippets get ``READY``, the file's path.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from control_plane.local.errors import StartFailed
from control_plane.local.output import Output
from control_plane.local.process import ChildSpec
from control_plane.local.supervisor import supervise


def child(description: dict[str, Any]) -> ChildSpec:
    ready = Path(description["ready"])

    async def is_ready() -> bool:
        return ready.exists()  # noqa: ASYNC240 (a look at a local file)

    return ChildSpec(
        name=description["name"],
        argv=(sys.executable, "-c", description["code"]),
        env={**os.environ, "READY": str(ready)},
        is_ready=None if "READY_FD" in description["code"] else is_ready,
        grace_s=description["grace_s"],
        clean=lambda: ready.unlink(missing_ok=True),
    )


async def when_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> int:
    stages = [[child(each) for each in stage] for stage in json.loads(sys.argv[1])]
    names = [spec.name for stage in stages for spec in stage]
    output = Output(sys.stderr.fileno(), names, coloured=False)
    try:
        supervise(stages, when_ready, output.say, output)
    except StartFailed as error:
        output.say(f"failed: {error}")
        return 1
    finally:
        output.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
