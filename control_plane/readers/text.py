"""A text in UTF-8, read in parts."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator
from typing import Final

from control_plane.readers.faults import unusable
from control_plane.types import OpenObject

PART_BYTES: Final = 65_536
_MARK: Final = "\ufeff"


async def characters(opened: OpenObject) -> AsyncGenerator[str, None]:
    """The text, some characters at a time; a byte order mark at its beginning is left out.

    Raises:
        TidegateError: OBJECT_UNUSABLE where it is no UTF-8 (RFC 3629) or holds a NUL, with the
            offset in bytes; whatever reading raises.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    at, begun = 0, False
    while at < opened.size:
        part = await opened.read(at, PART_BYTES)
        await asyncio.sleep(0)  # what lay in memory came at once: others have their turn
        at += len(part)
        text = _decoded(decoder, part, at, final=at >= opened.size or not part)
        if not begun and text:
            text, begun = text.removeprefix(_MARK), True
        if text:
            yield text
        if not part:
            break
    if at < opened.size:
        raise unusable("The object ends before its size", bytes=at, size=opened.size)


def _decoded(decoder: codecs.IncrementalDecoder, part: bytes, behind: int, *, final: bool) -> str:
    """The characters of a part.

    Args:
        decoder: Holds the beginning of a character that the part before ended with.
        part: Bytes.
        behind: Offset of the byte behind the part.
        final: True if nothing follows.
    """
    held = len(decoder.getstate()[0])
    try:
        text = decoder.decode(part, final)
    except UnicodeDecodeError as error:
        offset = behind - len(part) - held + error.start
        message = f"The object is no text in UTF-8: an invalid sequence at byte {offset}"
        raise unusable(message, byte=offset) from None
    if (zero := part.find(0)) >= 0:
        offset = behind - len(part) + zero
        raise unusable(f"The object is no text: a NUL at byte {offset}", byte=offset)
    return text
