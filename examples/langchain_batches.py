"""LangChain's `.batch()` at the vendor's batch price, inside a chain; needs langchain-openai."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from batchata import Batch
from batchata.gateway import Sandbox
from batchata.integrations.langchain import batch_model

prompt = ChatPromptTemplate.from_template("Say in one sentence what is nice about {place}.")

with Sandbox() as box:  # stands in for the vendor
    llm = ChatOpenAI(
        model="gpt-6-luna", max_tokens=100, api_key="sandbox", base_url=box.openai_base_url
    )
    cheap = batch_model(llm, Batch("answers", items_per_batch=None).add_cost_limit(1))
    chain = prompt | cheap | StrOutputParser()
    for said in chain.batch([{"place": each} for each in ("Oslo", "Lisbon", "Kyoto")]):
        print(said)
