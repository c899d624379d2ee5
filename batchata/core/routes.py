"""Which routes a provider's jobs may take."""

from __future__ import annotations

from collections.abc import Collection

from batchata.core.config import RunConfig
from batchata.core.errors import NoRouteError


def check_route(config: RunConfig, provider: str, offers: Collection[str]) -> None:
    """Raise NoRouteError when the run would ask a provider in a way that is not among `offers`."""
    if config.route == "background":
        if "background" not in offers:
            raise NoRouteError(
                f"{provider!r} makes no responses in the background",
                hint='write .set_route("live"), or "batch" where there are batches',
            )
        return
    if config.route == "batch" and "batch" not in offers:
        raise NoRouteError(
            f"{provider!r} has no batches: it cannot be asked by the batch route",
            hint='write .set_route("live"), or "auto" for batches where there are any',
        )
    if "live" in offers or (config.route == "batch" and config.pilot is None):
        return
    asked = "add_pilot()" if config.route == "batch" else f'set_route("{config.route}")'
    raise NoRouteError(
        f"{provider!r} cannot be asked live, as {asked} wants",
        hint='write .set_route("batch") without a pilot for its jobs',
    )
