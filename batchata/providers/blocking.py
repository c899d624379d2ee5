"""Async work for blocking callers, whether or not a loop runs in their thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own and return its result."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, thread_name_prefix="batchata-wait") as pool:
        return pool.submit(asyncio.run, work).result()


def settled(value: T | Awaitable[T]) -> T:
    """What a method of either kind, `def` or `async def`, returned."""
    return wait_for(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Awaitable[T]) -> T:
    return await value
