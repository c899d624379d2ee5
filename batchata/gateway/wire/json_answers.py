"""JSON answers, and listings page by page."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import orjson
from aiohttp import web

from batchata.gateway.wire.errors import invalid


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


_Record = TypeVar("_Record", bound=_Listed)


def json_answer(body: object, *, status: int = 200) -> web.Response:
    """Answer with a JSON body."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(body=data, status=status, content_type="application/json")


def page_limit(request: web.BaseRequest, *, default: int, most: int) -> int:
    """Read `limit` from the query, within its bounds."""
    given = request.query.get("limit", str(default))
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise invalid(f"Invalid 'limit': expected 1 to {most}, got {given}.", param="limit")
    return int(given)


def openai_list(page: Sequence[Mapping[str, object]], *, has_more: bool) -> web.Response:
    """A page as OpenAI's list object."""
    return json_answer(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": has_more,
        }
    )


def page_after(
    request: web.BaseRequest, found: Sequence[_Record], limit: int
) -> tuple[list[_Record], bool]:
    """The page after `after`, as OpenAI pages, and whether there is more."""
    start = _place_of(request.query.get("after"), found) + 1
    return list(found[start : start + limit]), len(found) > start + limit


def page_beside(
    request: web.BaseRequest, found: Sequence[_Record], limit: int
) -> tuple[list[_Record], bool]:
    """The page before `before_id` or after `after_id`, as Anthropic pages, and if there is more.

    https://platform.claude.com/docs/en/api/messages/batches/list
    """
    end = _place_of(request.query.get("before_id"), found)
    if end >= 0:
        start = max(0, end - limit)
        return list(found[start:end]), start > 0
    start = _place_of(request.query.get("after_id"), found) + 1
    return list(found[start : start + limit]), len(found) > start + limit


def _place_of(cursor: str | None, found: Sequence[_Listed]) -> int:
    """The position of this id; -1 if it is not found."""
    return next((place for place, each in enumerate(found) if each.id == cursor), -1)
