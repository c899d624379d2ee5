"""Limits per key need one key: the refusal of a call with several."""

from typing import Final

from batchata.gateway.proxy.interceptor import Reject

ONE_KEY: Final = Reject(
    message="this call carries several keys (Authorization, x-api-key or api-key), so it is not "
    "clear whose limit applies: send one",
    status=400,
    code="several_keys",
)
