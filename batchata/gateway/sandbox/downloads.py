"""Sends files from disk, whole, in ranges, or cut off when the scenario wants it."""

from aiohttp import web

from batchata.gateway.wire.downloads import Download


async def send_cut(request: web.Request, download: Download, keep: float) -> web.StreamResponse:
    """Send a share of what was asked for, then close the connection."""
    data = download.source.read_bytes()
    size, start = len(data), request.http_range.start or 0
    data = data[start : request.http_range.stop]
    response = web.StreamResponse(
        status=206 if start else 200,
        headers={"Content-Type": download.kind, "Content-Length": str(len(data))},
    )
    if start:
        response.headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{size}"
    await response.prepare(request)
    await response.write(data[: int(len(data) * keep)])
    if request.transport is not None:
        request.transport.close()
    return response
