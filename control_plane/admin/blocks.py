"""Blocks: those of the rules against abuse and those of operators; either can be lifted."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final

from litestar import Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from msgspec import Meta, Struct, structs

from control_plane.admin.answers import BASE, page_limit
from control_plane.admin.bodies import read_body
from control_plane.admin.guards import actor_of
from control_plane.admin.operation import PAGED, Query, operation
from control_plane.admin.schemas import NextCursor
from control_plane.admission.abuse.blocks import TARGET, Blocks
from control_plane.admission.abuse.steps import OPERATOR, Block, ClientId, Level, Subject
from control_plane.errors import InvalidParameter
from control_plane.records.pages import cursor as id_of
from control_plane.records.pages import last_of
from control_plane.records.transaction import not_found

_SUBJECT: Final = re.compile(r"[ta]:[A-Za-z0-9_.:/-]{1,64}")
_QUERY: Final = (
    *PAGED,
    Query(
        "subject",
        "Only of this: `t:<tenant>`, `a:<network>`",
        {"type": "string", "pattern": f"^{_SUBJECT.pattern}$"},
    ),
)


class BlockBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block to be put."""

    subject: Subject
    client: ClientId = ""
    level: Level
    duration_s: Annotated[int, Meta(ge=1, le=2_592_000, description="Length, seconds")]
    reason: Annotated[str, Meta(min_length=1, max_length=200, description="For people")]


class BlockView(Block, frozen=True, kw_only=True):
    """A block that stands."""

    id: Annotated[str, Meta(description="For its path")]


class BlockPage(Struct, frozen=True):
    """Blocks by subject and client."""

    items: list[BlockView]
    next_cursor: NextCursor


@get("/blocks", opt=operation("blocks:read", answer=BlockPage, query=_QUERY))
async def list_blocks(
    state: State,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
    subject: FromQuery[str | None] = None,
) -> BlockPage:
    """List the blocks that stand; a page may be short and have a cursor."""
    if subject is not None and not _SUBJECT.fullmatch(subject):
        raise InvalidParameter("subject", "must be t:<tenant> or a:<network>", subject)
    page = await _blocks(state).page(cursor, page_limit(limit), subject)
    return BlockPage([_view(block) for block in page.items], page.next)


@post("/blocks", opt=operation("blocks:write", answer=BlockView, body=BlockBody))
async def put_block(state: State, request: Request[Any, Any, Any]) -> Response[BlockView]:
    """Block a client, or everyone of a subject, in place of whatever block there is."""
    body = await read_body(request, BlockBody)
    by = actor_of(request)
    now = int(time.time())
    block = Block(
        subject=body.subject,
        client=body.client,
        level=body.level,
        rule=OPERATOR,
        reason=body.reason,
        since=now,
        until=now + body.duration_s,
        by=by.who,
    )
    await _blocks(state).put(block, by)
    view = _view(block)
    return Response(view, status_code=201, headers={"location": f"{BASE}/blocks/{view.id}"})


@get("/blocks/{block:str}", opt=operation("blocks:read", answer=BlockView))
async def get_block(state: State, block: FromPath[str]) -> BlockView:
    """Show a block that stands."""
    return _view(await _blocks(state).get(*_named(block)))


@delete("/blocks/{block:str}", status_code=204, opt=operation("blocks:write"))
async def lift_block(state: State, request: Request[Any, Any, Any], block: FromPath[str]) -> None:
    """Lift a block; it counts no more, and what led to it is not held against the client again."""
    await _blocks(state).lift(*_named(block), actor_of(request))


def _blocks(state: State) -> Blocks:
    blocks: Blocks = state.services.blocks
    return blocks


def _view(block: Block) -> BlockView:
    return BlockView(**structs.asdict(block), id=id_of(block.target))


def _named(block: str) -> tuple[str, str]:
    """Subject and client of an id, or ``NOT_FOUND``."""
    try:
        subject, _, client = last_of(block, TARGET).partition("|")
    except InvalidParameter:
        raise not_found() from None
    return subject, client


HANDLERS: Final = (list_blocks, put_block, get_block, lift_block)
