"""Limits per key hold for one key: what a call with several is told."""

from typing import Final

from batchata.gateway.proxy.interceptor import Reject

ONE_KEY: Final = Reject(
    message="this call carries several keys (Authorization, x-api-key or api-key), so that nobody "
    "can tell whose limit holds: send one",
    status=400,
    code="several_keys",
)
