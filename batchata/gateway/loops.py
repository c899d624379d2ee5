"""The event loop of the gateway: uvloop if it is installed."""

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop, the fast one if there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
