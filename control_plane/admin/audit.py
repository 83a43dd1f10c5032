"""The audit log: read only; every change of the records writes its entry in its own step."""

from __future__ import annotations

from typing import Final

from litestar import get
from litestar.datastructures import State
from litestar.params import FromQuery

from control_plane.admin.answers import page_limit, whole
from control_plane.admin.operation import PAGED, Query, operation
from control_plane.admin.schemas import AuditPage
from control_plane.admin.services import AdminServices
from control_plane.errors import InvalidParameter
from control_plane.records.audit import AuditFilter

_LATEST: Final = 253_402_300_799
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 200}
_SECONDS: Final = {"type": "integer", "minimum": 0, "maximum": _LATEST}
_QUERY: Final = (
    *PAGED,
    Query("target", "Only changes of this: `tenant:acme`, `tier:pro`, `key:<id>`", _TEXT),
    Query("who", "Only changes by this: `k:<key id>`, `system`", _TEXT),
    Query("action", "Only such changes: `tenant.patch`", _TEXT),
    Query("since", "First second, epoch", _SECONDS),
    Query("until", "Second before which they end, epoch", _SECONDS),
    Query("order", "The latest or the oldest first", {"enum": ["desc", "asc"], "default": "desc"}),
)


@get("/audit", opt=operation("audit:read", answer=AuditPage, query=_QUERY))
async def list_audit(
    state: State,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
    target: FromQuery[str | None] = None,
    who: FromQuery[str | None] = None,
    action: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    order: FromQuery[str | None] = None,
) -> AuditPage:
    """List what was changed, by whom, from what to what."""
    services: AdminServices = state.services
    if order not in {None, "asc", "desc"}:
        raise InvalidParameter("order", "must be asc or desc", order)
    wanted = AuditFilter(
        target=_text("target", target),
        who=_text("who", who),
        action=_text("action", action),
        since=_second("since", since),
        until=_second("until", until),
        ascending=order == "asc",
    )
    page = await services.audit.page(wanted, cursor, page_limit(limit))
    return AuditPage(page.items, page.next)


def _text(name: str, text: str | None) -> str | None:
    if text is not None and not 1 <= len(text) <= 200:
        raise InvalidParameter(name, "must have 1 to 200 characters")
    return text


def _second(name: str, text: str | None) -> int | None:
    return None if text is None else whole(name, text, 0, _LATEST)


HANDLERS: Final = (list_audit,)
