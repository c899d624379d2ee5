"""JSON answers, JSON bodies and page sizes."""

import orjson
from aiohttp import web

from batchata.gateway.vendor_errors import invalid


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
