"""A gateway in a thread of this process, reached over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.config.model import GatewayConfig
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.server import Running, running
from batchata.gateway.threaded import ServerInThread


class Gateway(ServerInThread[Running]):
    """A proxy to one upstream on a free local port, for as long as the `with` block runs.

    `interceptors` are Interceptor values, or names of ours; `config` is a whole configuration.
    """

    name = "gateway"

    def __init__(
        self,
        base_url: str | None = None,
        *,
        type: str | None = None,  # noqa: A002
        interceptors: Sequence[Interceptor | str] = (),
        config: GatewayConfig | Mapping[str, Any] | None = None,
        **server: Any,
    ) -> None:
        super().__init__()
        self._extra = [each for each in interceptors if isinstance(each, Interceptor)]
        names = [{"type": each} for each in interceptors if isinstance(each, str)]
        if isinstance(config, GatewayConfig):
            self._config = config
        else:
            flags = {("server", name): value for name, value in {"port": 0, **server}.items()}
            flags |= {("llm", "base_url"): base_url, ("llm", "type"): type}
            self._config = load_config(
                None, flags, interceptors=names, environment={}, given=config or {}
            )

    def _serving(self) -> AbstractAsyncContextManager[Running]:
        return running(self._config, interceptors=self._extra)

    def drain(self) -> None:
        """Wait until observers have got every event so far."""
        self._call(self._up().queue.drain())
