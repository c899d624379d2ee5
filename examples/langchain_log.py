"""Everything that LangChain does, in one log; needs batchata[langchain] and langchain-openai."""

from langchain_openai import ChatOpenAI

from batchata import read_events
from batchata.gateway import Sandbox
from batchata.integrations.langchain import ParquetLogger, with_tags

questions = ["Name a river.", "Name a lake.", "Name a sea."]

with Sandbox() as box, ParquetLogger("logs") as logger:  # stands in for the vendor
    llm = ChatOpenAI(
        model="gpt-6-luna",
        api_key="sandbox",
        base_url=box.openai_base_url,
        callbacks=[logger],
    )
    llm.batch(questions, [with_tags(custom_id=number) for number in range(3)])

answers = read_events("logs", event_type="llm_end")
print(answers[["logger_custom_id", "answer", "output_tokens", "latency_seconds"]])
