"""Uploads as clients see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.patterns import exactly
from control_plane.uploads import layout
from control_plane.uploads.shapes import Address, State, Upload, Wish

_TOKEN = r"[A-Za-z0-9!#$&^_.+\-]{1,63}"  # noqa: S105 - a name of RFC 6838, section 4.2
MAX_SIZE = 1_099_511_627_776
"""Bytes that any setting can allow."""

Moment = Annotated[
    str, Meta(description="RFC 3339, UTC", extra_json_schema={"format": "date-time"})
]
Digest = Annotated[
    str,
    Meta(pattern=exactly("[0-9A-Fa-f]{64}"), description="SHA-256 of the content, hexadecimal"),
]


class UploadBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is to be uploaded."""

    filename: Annotated[
        str,
        Meta(
            pattern=exactly(r"[^/\\\u0000-\u001f\u007f-\u009f]{1,255}"),
            description="A label, without path separators and control characters",
        ),
    ]
    content_type: Annotated[
        str,
        Meta(pattern=exactly(f"{_TOKEN}/{_TOKEN}"), description="Media type without parameters"),
    ]
    size: Annotated[int, Meta(ge=1, le=MAX_SIZE, description="Bytes")]
    sha256: Digest | UnsetType = UNSET

    def wish(self) -> Wish:
        """What is to be uploaded."""
        digest = "" if self.sha256 is UNSET else self.sha256.lower()
        return Wish(self.filename, self.content_type.lower(), self.size, digest)


class UploadView(Struct, frozen=True, kw_only=True):
    """An upload."""

    upload_id: Annotated[str, Meta(pattern=layout.UPLOAD_ID, description="Ids sort by time")]
    url: Annotated[str, Meta(description="What inputs name the object by")]
    status: Annotated[
        State, Meta(description="`waiting` for its object, `complete`, or `expired` without one")
    ]
    filename: str
    content_type: str
    size: Annotated[int, Meta(description="Bytes")]
    sha256: Digest | None
    created_at: Moment
    expires_at: Annotated[Moment, Meta(description="End of the signed address")]
    completed_at: Moment | None
    used_at: Annotated[Moment | None, Meta(description="When an input last named it")]


class AddressView(Struct, frozen=True):
    """One request that puts the object, good once and for nothing else."""

    method: str
    url: Annotated[
        str, Meta(description="URI reference (RFC 3986), to be resolved against this request's")
    ]
    headers: Annotated[dict[str, str], Meta(description="To be sent as they are")]


class UploadMade(UploadView, frozen=True, kw_only=True):
    """An upload that waits for its object, and how to put it."""

    upload: AddressView
    max_bytes: Annotated[int, Meta(description="Largest object of this deployment, bytes")]


class UploadList(Struct, frozen=True):
    """A page of the tenant's uploads, the latest first."""

    items: list[UploadView]
    next_cursor: Annotated[str | None, Meta(description="Parameter `cursor` of the next page")]


def view(upload: Upload) -> UploadView:
    """An upload."""
    return UploadView(**_facts(upload))


def made(upload: Upload, address: Address, max_bytes: int) -> UploadMade:
    """An upload with the address of its object."""
    shown = AddressView(address.method, address.url, dict(address.headers))
    return UploadMade(**_facts(upload), upload=shown, max_bytes=max_bytes)


def _facts(upload: Upload) -> dict[str, Any]:
    return {
        "upload_id": upload.id,
        "url": layout.url(upload.id),
        "status": upload.state,
        "filename": upload.filename,
        "content_type": upload.media_type,
        "size": upload.size,
        "sha256": upload.sha256 or None,
        "created_at": _moment(upload.created_ms),
        "expires_at": _moment(upload.expires_ms),
        "completed_at": _moment(upload.completed_ms),
        "used_at": _moment(upload.used_ms),
    }


def _moment(epoch_ms: int) -> str | None:
    if not epoch_ms:
        return None
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
