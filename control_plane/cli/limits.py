"""Options for the limits of a tier or a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

NO_CAP: Final = "none"
OF_TIER: Final = "tier"
_WHOLE: Final = {
    "requests": "Sustained rate: requests in a window.",
    "window_s": "Length of that window, seconds.",
    "burst": "Requests that may come at once, ahead of the rate.",
    "concurrency": "Requests in flight at once.",
    "month_units": "Units in a calendar month (UTC); `none` for no cap.",
    "day_units": "Units in a calendar day (UTC); `none` for no cap.",
    "max_batch": "Inputs in one batch.",
    "max_body_bytes": "Size of one body, bytes.",
}
_KINDS: Final = {
    "overage": (("block", "bill"), "Beyond the quota: refuse, or go on and bill apart."),
    "priority": (("high", "normal", "low"), "Which of the waiting jobs go first."),
}
_UNCAPPED: Final = ("month_units", "day_units")


class Amount(click.ParamType[int | str]):
    """A whole number or one of some words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.name = "|".join(["N", *words])
        self._words = words

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read it; ranges are the API's to check."""
        text = str(value)
        if text in self._words:
            return text
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            self.fail(f"{text!r} is neither a whole number nor {self.name}", param, ctx)
        return int(text)


def limit_options(*, of_tenant: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each limit.

    Args:
        of_tenant: True if ``tier`` gives a limit back to the tier.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        words = (OF_TIER,) if of_tenant else ()
        for name, (kinds, meaning) in reversed(_KINDS.items()):
            choice = click.Choice([*kinds, *words])
            command = click.option(f"--{name}", type=choice, help=meaning)(command)
        for name, meaning in reversed(_WHOLE.items()):
            amount = Amount((NO_CAP, *words) if name in _UNCAPPED else words)
            flag = "--" + name.replace("_", "-")
            command = click.option(flag, name, type=amount, metavar=amount.name, help=meaning)(
                command
            )
        return command

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The limits that were given, as the API takes them: None for no cap."""
    names = (*_WHOLE, *_KINDS)
    found = {name: options[name] for name in names if options.get(name) is not None}
    return {name: None if value == NO_CAP else value for name, value in found.items()}
