"""What the transport says of a vendor that it cannot reach."""

from __future__ import annotations

import asyncio
import socket

import pytest

from batchata.core.errors import ProviderUnavailableError
from batchata.providers.transport import Transport


async def ask(url: str) -> None:
    """One call."""
    transport = Transport()
    try:
        await transport.post(url, {}, b"{}")
    finally:
        await transport.aclose()


def test_a_server_that_is_not_there_is_told_in_the_words_of_the_system() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        with pytest.raises(ProviderUnavailableError) as caught:
            asyncio.run(ask(url))

    assert caught.value.message == f"{url} cannot be reached: Connection refused"
