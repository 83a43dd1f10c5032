"""Whether a file is WAV or FLAC, and as long as its header says; decoders are lenient here."""

from __future__ import annotations

import struct
from typing import Final

from control_plane.readers.faults import unusable
from control_plane.readers.speech.file import ObjectFile

MAX_CHUNKS: Final = 1024
_HEAD_BYTES: Final = 12
_CHUNK_HEAD_BYTES: Final = 8
_FORMAT_BYTES: Final = 16
_TOTAL_AT: Final = 21
_TOTAL_BYTES: Final = 5
_FORMATS: Final = {
    "WAV": frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"}),
    "FLAC": frozenset({"audio/flac", "audio/x-flac"}),
}


def check_container(file: ObjectFile, media_type: str | None) -> str:
    """Say which of the two a file is, and leave it at its beginning.

    Args:
        file: At any place.
        media_type: What it was declared as; None if that is not known.

    Returns:
        ``WAV`` or ``FLAC``.

    Raises:
        TidegateError: OBJECT_UNUSABLE if it is neither, is not what it was declared as, or a size
            in its header is wrong.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.check()
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        found = "WAV"
        _check_chunks(file, int.from_bytes(head[4:8], "little"))
    elif head[:4] == b"fLaC":
        found = "FLAC"
        _check_stream_info(file)
    else:
        raise unusable("The object is neither a WAV nor a FLAC file")
    if media_type is not None and media_type not in _FORMATS[found]:
        message = f"The object was declared as {media_type[:64]} and is a {found} file"
        raise unusable(message, media_type=media_type[:64], found=found)
    file.seek(0)
    return found


def _check_chunks(file: ObjectFile, riff_bytes: int) -> None:
    """Hold the sizes in the headers of a RIFF file against each other and the file's own."""
    if riff_bytes + _CHUNK_HEAD_BYTES > file.size:
        raise _too_short("the RIFF header", riff_bytes, file.size - _CHUNK_HEAD_BYTES)
    at, has_format = _HEAD_BYTES, False
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(_CHUNK_HEAD_BYTES)
        file.check()
        if len(head) < _CHUNK_HEAD_BYTES:
            raise unusable("The WAV file has no samples: there is no data chunk")
        name, length = head[:4], int.from_bytes(head[4:], "little")
        at += _CHUNK_HEAD_BYTES
        if at + length > file.size:
            said = name.decode("ascii", errors="replace").strip()
            raise _too_short(f"the chunk {said!r}", length, file.size - at)
        if name == b"data":
            if not has_format:
                raise unusable("The WAV file has no fmt chunk before its samples")
            if at + length > riff_bytes + _CHUNK_HEAD_BYTES:
                raise _too_short("the RIFF header", length, riff_bytes + _CHUNK_HEAD_BYTES - at)
            return
        if name == b"fmt ":
            _check_format(file.read(_FORMAT_BYTES))
            has_format = True
        at += length + length % 2
    raise unusable(f"The WAV file has more than {MAX_CHUNKS} chunks before its samples")


def _check_format(data: bytes) -> None:
    """Hold the sizes of samples in a fmt chunk against each other."""
    if len(data) < _FORMAT_BYTES:
        raise unusable("The WAV file's fmt chunk is too short")
    channels, frame_bytes, bits = struct.unpack("<2xH8xHH", data)
    if bits == 0 or bits % 8 or frame_bytes != channels * bits // 8:
        message = (
            f"The WAV file's header contradicts itself: {channels} channels of {bits} bits in "
            f"{frame_bytes} bytes"
        )
        raise unusable(message, channels=channels, bits=bits, frame_bytes=frame_bytes)


def _check_stream_info(file: ObjectFile) -> None:
    """Refuse a FLAC file that does not say how long it is (RFC 9639, section 8.2)."""
    file.seek(_TOTAL_AT)
    total = int.from_bytes(file.read(_TOTAL_BYTES), "big") % 2**36
    file.check()
    if not total:
        raise unusable("The FLAC file has no samples, or does not say how many")


def _too_short(where: str, said: int, there: int) -> Exception:
    message = (
        f"The WAV file is cut short, or its header is wrong: {where} has room for "
        f"{max(0, min(said, there))} of {max(said, there)} bytes"
    )
    return unusable(message, said_bytes=said, found_bytes=max(0, there))
