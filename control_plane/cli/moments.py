"""Moments on a command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?Z)?")


class Moment(click.ParamType[int]):
    """A date, a date with time (UTC), or a number of days from now; epoch seconds."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it; whether it is past is the API's to check."""
        text = str(value)
        days = _DAYS.fullmatch(text)
        if days is not None:
            return int(time.time()) + int(days[1]) * 86_400
        try:
            if not _DATE.fullmatch(text):
                raise ValueError
            moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
        except ValueError:
            example = "2027-03-31, 2027-03-31T12:00Z or 90d"
            self.fail(f"{text!r} is no moment, such as {example}", param, ctx)
        return int(moment.timestamp())
