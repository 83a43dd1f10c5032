"""The operators' API over HTTP, for the commands on top of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import httpx

from control_plane.cli.options import FOLDER
from control_plane.environment import ADMIN_KEY, ADMIN_URL

BASE: Final = "/admin/v1"
TIMEOUT_S: Final = 30.0
PAGE: Final = 200
NEXT: Final = "x-next-cursor"
"""Header of a page of lines: where the next one begins, absent at the end."""

Record = dict[str, Any]


class Refused(click.ClickException):
    """What the API refused; breaks of a contract stand in lines of their own.

    Attributes:
        code: Of the catalogue of errors.
    """

    def __init__(self, told: Record) -> None:
        super().__init__(_reason(told))
        self.code: str = told["error"]["code"]


class Api:
    """A client of the operators' API; whatever fails is one line and exit status 1."""

    def __init__(self, url: str, key: str) -> None:
        """Name the server.

        Args:
            url: Such as ``http://127.0.0.1:9090``.
            key: An operator's.
        """
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT_S, trust_env=False
        )

    def call(
        self,
        method: str,
        *path: str,
        body: Record | None = None,
        query: Mapping[str, str] | None = None,
        revision: int | None = None,
    ) -> Any:
        """The answer to a request; None if it has no body.

        Args:
            method: HTTP method.
            path: Segments below ``/admin/v1``.
            body: Sent as JSON.
            query: Query parameters.
            revision: Of the resource, if only that one is meant.

        Raises:
            click.ClickException: If there is no answer.
            Refused: If it is an error.
        """
        headers = {} if revision is None else {"if-match": f'"{revision}"'}
        answer = self._send(method, path, json=body, params=query, headers=headers)
        return None if answer.status_code == httpx.codes.NO_CONTENT else _told(answer, self._url)

    def pages(self, *path: str, query: Mapping[str, str] | None = None) -> Iterator[Record]:
        """Every item of a list."""
        query = {**(query or {}), "limit": str(PAGE)}
        while True:
            page = self.call("GET", *path, query=query)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def texts(self, *path: str, query: Mapping[str, str]) -> Iterator[str]:
        """Every page of a list that comes as lines."""
        asked = dict(query)
        while True:
            answer = self._send("GET", path, params=asked)
            yield answer.text
            if NEXT not in answer.headers:
                return
            asked["cursor"] = answer.headers[NEXT]

    def _send(self, method: str, path: tuple[str, ...], **parts: Any) -> httpx.Response:
        url = "/".join([self._url + BASE, *(quote(segment, safe="") for segment in path)])
        try:
            answer = self._http.request(method, url, **parts)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise click.ClickException(
                f"the operators' API at {self._url} does not answer: {error}"
            ) from error
        if answer.is_success:
            return answer
        raise Refused(_told(answer, self._url))


def operators_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--url`` and ``--data-dir``, for :func:`operators_api`."""
    url = click.option(
        "--url", metavar="URL", help=f"Address of the operators' API [env: {ADMIN_URL}]."
    )
    data_dir = click.option(
        "--data-dir", type=FOLDER, default=Path(".tidegate"), show_default=True,
        help="Data directory of a `tidegate up`, for its address and key.",
    )  # fmt: skip
    return url(data_dir(command))


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its ``api``, from options, the environment or a data directory."""

    @operators_options
    @wraps(command)
    def with_api(url: str | None, data_dir: Path, **arguments: Any) -> None:
        command(api=operators_api(url, data_dir), **arguments)

    return with_api


def operators_api(url: str | None, data_dir: Path) -> Api:
    """A client; the key of a data directory is sent to that directory's server only.

    Args:
        url: Address; None for that of the environment, else of the data directory.
        data_dir: Of a ``tidegate up``.

    Raises:
        click.ClickException: If there is no address, or no key for it.
    """
    url = url or os.environ.get(ADMIN_URL)
    key = os.environ.get(ADMIN_KEY, "").strip()
    if not key.isascii() or not key.isprintable():
        raise click.ClickException(f"{ADMIN_KEY} is no API key")
    if url is not None:
        if not key:
            raise click.ClickException(f"set {ADMIN_KEY} to the key for {url}")
        return Api(url, key)
    address = _member(data_dir / "endpoints.json", "admin", "`tidegate up` is not running there")
    key = key or _member(data_dir / "credentials.json", "admin_key", f"set {ADMIN_KEY}")
    return Api(f"http://{address}", key)


def _member(file: Path, name: str, hint: str) -> str:
    try:
        value = json.loads(file.read_text())[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.ClickException(
            f"{file} names no {name} ({hint}); or give --url and {ADMIN_KEY}"
        ) from error
    return str(value)


def _told(answer: httpx.Response, url: str) -> Record:
    """The JSON of an answer, if the server is one of operators' API at all."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if isinstance(told, dict) and (answer.is_success or "error" in told):
        return told
    raise click.ClickException(
        f"{url} answers {answer.status_code}, and not as an operators' API does"
    )


def _reason(told: Record) -> str:
    error = told["error"]
    is_fault = error["code"] == "INVALID_INPUT"
    faults = error.get("errors", [error["details"]] if is_fault else [])
    parts = [f"{fault['field']}: {fault['issue']}" for fault in faults]
    parts += error["details"].get("reasons", [])
    listed = "; ".join(parts)
    message = f"{error['message']}: {listed}" if listed else error["message"]
    lines = [f"{error['code']}: {message} ({error['request_id']})"]
    breaks = error["details"].get("changes", [])
    lines += [f"  {change['where'] or '/'}: {change['what']}" for change in breaks]
    return "\n".join(lines)
