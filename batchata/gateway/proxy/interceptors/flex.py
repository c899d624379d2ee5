"""`flex`: uses OpenAI's half-price tier, and the standard one when that has no room."""

from __future__ import annotations

from batchata.core.errors import UnknownPriceError
from batchata.gateway.proxy.exchange import CHAT, RESPONSES, Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Replace
from batchata.gateway.proxy.money.flex import on_flex


class Flex(Interceptor):
    """Puts `service_tier: "flex"` into chat and responses requests that name no tier.

    Only for models known to be cheaper that way. A budget sets the standard price aside.
    """

    name = "flex"
    #: others see, record and cache requests as clients sent them
    is_last = True

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Ask for the tier where it is available."""
        body = exchange.body
        if (
            exchange.endpoint not in (CHAT, RESPONSES)
            or not body
            or not exchange.json
            or "service_tier" in exchange.json
            or not self._is_cheaper(exchange)
        ):
            return CONTINUE
        exchange.is_on_flex = True
        return Replace(body=on_flex(body))

    def _is_cheaper(self, exchange: Exchange) -> bool:
        if exchange.provider != "openai":
            return False
        try:
            flex, standard = (
                self.book.card("openai", exchange.model, tier) for tier in ("flex", "standard")
            )
        except UnknownPriceError:
            return False
        return flex.rates.output_usd < standard.rates.output_usd
