"""Exchanges as the gateway makes them of requests, for tests of what looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batchata.gateway.proxy.exchange import CHAT, MODEL_ENDPOINTS, Exchange
from batchata.gateway.proxy.http.upstreams import Upstream

UPSTREAM = Upstream(name="up", base_url="http://127.0.0.1:1", type="openai")


def an_exchange(
    path: str = CHAT, body: Mapping[str, Any] | None = None, *, model: str = "m", **more: Any
) -> Exchange:
    """A POST request that has arrived."""
    found: dict[str, Any] = {
        "id": "x",
        "number": 1,
        "began_us": 0,
        "method": "POST",
        "target": path,
        "path": path,
        "headers": (),
        "body": orjson.dumps(body or {}),
        "json": body or {},
        "upstream": UPSTREAM,
        "endpoint": path if path in MODEL_ENDPOINTS else None,
        "model": model,
    }
    return Exchange(**(found | more))
