"""Which routes a provider's jobs may take."""

from __future__ import annotations

from batchata.core.config import RunConfig
from batchata.core.errors import NoRouteError


def check_route(config: RunConfig, provider: str, *, has_batches: bool, is_live: bool) -> None:
    """Raise NoRouteError when the run would ask a provider in a way that it does not offer."""
    if config.route == "batch" and not has_batches:
        raise NoRouteError(
            f"{provider!r} has no batches: it cannot be asked by the batch route",
            hint='write .set_route("live"), or "auto" for batches where there are any',
        )
    if is_live or (config.route == "batch" and config.pilot is None):
        return
    asked = "add_pilot()" if config.route == "batch" else f'set_route("{config.route}")'
    raise NoRouteError(
        f"{provider!r} cannot be asked live, as {asked} wants",
        hint='write .set_route("batch") without a pilot for its jobs',
    )
