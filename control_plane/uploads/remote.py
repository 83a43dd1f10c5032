"""Objects at https addresses: of the buckets that the settings name, or of anywhere.

Every byte comes through ``egress``, which calls nothing that is not public. An object is pinned
by its strong entity tag (RFC 9110, section 8.8.3), without which it is refused: each part is asked
for with If-Match, and what answers with another tag or size is not used.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote

from control_plane.egress.address import Url, read_url, refused
from control_plane.egress.destinations import Answer, CallFailed, Fetch
from control_plane.types import ObjectRule, OpenObject, PinnedObject
from control_plane.uploads.parts import opened_in_parts
from control_plane.uploads.store import unavailable, unusable

_RANGE: Final = re.compile(r"bytes (?P<first>[0-9]{1,15})-[0-9]{1,15}/(?P<size>[0-9]{1,15})")
_STRONG: Final = re.compile(r'"[!#-~]{1,254}"')
_REPLACED: Final = "It was replaced since it was looked at"


class RemoteObjects:
    """Reads objects at https addresses."""

    def __init__(self, fetch: Fetch, buckets: Sequence[str], *, anywhere: bool) -> None:
        """Read from some addresses.

        Args:
            fetch: Makes the calls.
            buckets: Hosts, with or without a path, whose objects are taken.
            anywhere: Take objects of every public address.
        """
        self._fetch = fetch
        self._buckets = tuple(_bucket(each) for each in buckets)
        self._anywhere = anywhere

    async def pin(self, text: str, rule: ObjectRule) -> PinnedObject:
        """Look at an object by its first byte: an address signed for GET takes no HEAD.

        Raises:
            TidegateError: ADDRESS_REFUSED; OBJECT_UNUSABLE if it is not there, has no strong entity
                tag, or its server knows no ranges; UPLOADS_UNAVAILABLE.
        """
        self._check(text)
        answer = await self._get(text, 0, 1, {})
        size, tag = _size(answer, 0), answer.headers.get("etag", "")
        if not _STRONG.fullmatch(tag):
            raise unusable("Its server gives no strong entity tag, so it cannot be pinned")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        check(media_type, size, rule)
        return PinnedObject(text, media_type, size, tag)

    @asynccontextmanager
    async def open(self, pinned: PinnedObject) -> AsyncIterator[OpenObject]:
        """Read an object, each part of it only if it is what was pinned."""
        self._check(pinned.url)

        async def fetch(start: int, length: int) -> bytes:
            answer = await self._get(pinned.url, start, length, {"if-match": pinned.pin})
            is_same = answer.headers.get("etag") == pinned.pin
            if not is_same or _size(answer, start) != pinned.size or len(answer.body) != length:
                raise unusable(_REPLACED)
            return answer.body

        async with opened_in_parts(pinned.size, fetch) as reader:
            yield reader

    def _check(self, text: str) -> None:
        url = read_url(text)
        if not self._anywhere and not any(_covers(bucket, url) for bucket in self._buckets):
            raise refused("is not of a bucket whose objects are taken here")

    async def _get(self, text: str, start: int, length: int, headers: dict[str, str]) -> Answer:
        try:
            answer = await self._fetch.get(text, start, length, headers)
        except CallFailed as failure:
            if failure.reason in {"timeout", "connection"}:
                raise unavailable() from None
            raise unusable(f"Its server cannot be read: {failure.reason}") from None
        if answer.status == 206:
            return answer
        if answer.status == 412:
            raise unusable(_REPLACED)
        if answer.status == 429 or answer.status >= 500:
            raise unavailable()
        if answer.status == 200:
            raise unusable("Its server does not answer ranges")
        raise unusable(f"Its server answered {answer.status}")


def check(media_type: str, size: int, rule: ObjectRule) -> None:
    """Refuse an object that an input does not take.

    Raises:
        TidegateError: OBJECT_UNUSABLE, with what would be taken.
    """
    if media_type not in rule.media_types:
        error = unusable(f"Its media type is {media_type[:127] or 'not known'}")
        error.details["accepted"] = list(rule.media_types)
        raise error
    if size > rule.max_bytes:
        error = unusable("It is too large")
        error.details |= {"size": size, "limit_bytes": rule.max_bytes}
        raise error


def _bucket(text: str) -> tuple[str, str]:
    host, _, path = text.partition("/")
    path = path.strip("/")
    return host, f"/{path}/" if path else "/"


def _covers(bucket: tuple[str, str], url: Url) -> bool:
    """True if an address is of a bucket; one whose path climbs, however it is written, is not."""
    path = url.target.partition("?")[0]
    if ".." in unquote(path).split("/"):
        return False
    return (url.authority, True) == (bucket[0], path.startswith(bucket[1]))


def _size(answer: Answer, start: int) -> int:
    found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if found is None or int(found["first"]) != start:
        raise unusable("Its server does not answer ranges")
    return int(found["size"])
