"""A gateway with a hard limit and a record, in front of an application that knows nothing of it."""

import openai

from batchata.gateway import Gateway, Sandbox

interceptors = [
    {"type": "budget", "config": {"limit_usd": 0.01, "state": "gateway.db"}},
    {"type": "record", "config": {"directory": "cassettes"}},
]


def application(base_url: str) -> None:
    """Ask until somebody says stop."""
    with openai.OpenAI(base_url=base_url, api_key="sandbox", max_retries=0) as client:
        for number in range(5):
            answer = client.responses.create(
                model="gpt-6-luna", input=f"Name river {number}.", max_output_tokens=1000
            )
            print(answer.output_text)


vendor = Sandbox()  # in place of https://api.openai.com
with vendor, Gateway(vendor.url, config={"interceptors": interceptors}) as gateway:
    application(gateway.openai_base_url)

replay = {"type": "replay", "config": {"directory": "cassettes"}}
with Gateway("http://127.0.0.1:9", config={"interceptors": [replay]}) as gateway:
    print("again, without a vendor:")
    application(gateway.openai_base_url)
