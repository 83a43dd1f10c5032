"""Uploads of the caller's tenant: signed addresses for large files, and what became of them."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admission.principal import Principal
from control_plane.api.upload_views import (
    UploadBody,
    UploadList,
    UploadMade,
    UploadView,
    made,
    view,
)
from control_plane.api.visit import member_of
from control_plane.errors import Forbidden, InvalidParameter
from control_plane.records.pages import MAX_LIMIT
from control_plane.services import Services
from control_plane.web import body

MAX_BODY_BYTES: Final = 4096
DEFAULT_LIMIT: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,4}")


@post("/api/v1/uploads", request_max_body_size=MAX_BODY_BYTES)
async def make_upload(request: Request[Any, Any, Any], state: State) -> UploadMade:
    """Sign an address at which one object can be put."""
    principal = _uploader(request)
    given = body.shaped(await body.read_json(request), UploadBody)
    services: Services = state.services
    uploads = services.uploads.uploads
    upload, address = await uploads.make(principal.tenant, given.wish())
    return made(upload, address, uploads.max_bytes)


@get("/api/v1/uploads")
async def list_uploads(
    request: Request[Any, Any, Any],
    state: State,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> UploadList:
    """Uploads of the caller's tenant, the latest first."""
    principal = _uploader(request)
    services: Services = state.services
    page = await services.uploads.uploads.page(principal.tenant, cursor, _limit(limit))
    return UploadList([view(each) for each in page.items], page.next)


@get("/api/v1/uploads/{upload:str}")
async def get_upload(
    request: Request[Any, Any, Any], state: State, upload: FromPath[str]
) -> UploadView:
    """One upload, as it stands now."""
    principal = _uploader(request)
    services: Services = state.services
    return view(await services.uploads.uploads.get(principal.tenant, upload))


@delete("/api/v1/uploads/{upload:str}")
async def delete_upload(
    request: Request[Any, Any, Any], state: State, upload: FromPath[str]
) -> None:
    """Delete an upload with its object, also one that jobs still name."""
    principal = _uploader(request)
    services: Services = state.services
    await services.uploads.uploads.delete(principal.tenant, upload)


def _uploader(request: Request[Any, Any, Any]) -> Principal:
    principal = member_of(request, "Uploads")
    if not principal.may("uploads"):
        details = {"scope": "uploads"}
        raise Forbidden("The credentials lack the scope uploads", details=details)
    return principal


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be a whole number from 1 to {MAX_LIMIT}", text)
    return int(text)
