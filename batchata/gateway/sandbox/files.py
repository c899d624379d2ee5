"""`/v1/files`, which both vendors have: Anthropic's version header tells whose is meant."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from batchata.gateway.sandbox.anthropic import files as anthropic_files
from batchata.gateway.sandbox.middleware import vendor_of_request
from batchata.gateway.sandbox.openai import files as openai_files

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _either(openai: Handler, anthropic: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        chosen = anthropic if vendor_of_request(request) == "anthropic" else openai
        return await chosen(request)

    return handle


create = _either(openai_files.create, anthropic_files.create)
list_files = _either(openai_files.list_files, anthropic_files.list_files)
retrieve = _either(openai_files.retrieve, anthropic_files.retrieve)
content = _either(openai_files.content, anthropic_files.content)
delete = _either(openai_files.delete, anthropic_files.delete)
