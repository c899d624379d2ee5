"""An interceptor of one's own: it refuses long prompts, and counts what answers cost."""

from decimal import Decimal
from typing import ClassVar

import openai

from batchata.gateway import CONTINUE, Exchange, Gateway, Interceptor, Outcome, Reject, Sandbox


class Watch(Interceptor):
    """Refuses prompts above `most_bytes`, and adds up the cost of the others."""

    name = "watch"
    is_policy = True
    options: ClassVar = {"most_bytes": 100}
    most_bytes: int
    spent_usd = Decimal(0)

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Decide before anything is sent."""
        if len(exchange.body or b"") > self.most_bytes:
            return Reject(message="this prompt is too long", status=413)
        return CONTINUE

    async def on_response(self, exchange: Exchange) -> None:
        if exchange.answer is not None:
            self.spent_usd += exchange.answer.cost_usd or 0


watch = Watch(most_bytes=200)
with Sandbox() as vendor, Gateway(vendor.url, interceptors=[watch]) as gateway:
    client = openai.OpenAI(base_url=gateway.openai_base_url, api_key="sandbox")
    print(client.responses.create(model="gpt-6-luna", input="Name a river.").output_text)
    try:
        client.responses.create(model="gpt-6-luna", input="Name a river. " * 100)
    except openai.APIStatusError as error:
        print(error.message)
print(f"${watch.spent_usd:f}")
