"""Models of LangChain, real ones and one that answers at once; slow to import."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.documents import Document as Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser as StrOutputParser
from langchain_core.prompts import ChatPromptTemplate as ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda as RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from batchata.gateway import Sandbox
from batchata.integrations import langchain
from batchata.integrations.langchain import EventType as EventType
from batchata.integrations.langchain import ParquetLogger
from batchata.integrations.langchain import S3Config as S3Config
from batchata.integrations.langchain import processing as processing
from batchata.integrations.langchain import with_tags as with_tags

KEY = "a-key-that-nobody-may-read"
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
part = langchain


class City(BaseModel):
    """A city."""

    name: str
    people: int


class Shelf(BaseRetriever):
    """Finds one document, or breaks."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        if query == "break":
            raise LookupError("no such shelf")
        return [Document(page_content=f"about {query}")]


@tool
def weather(place: str) -> str:
    """The weather of a place."""
    if place == "nowhere":
        raise LookupError("no such place")
    return f"fine in {place}"


def model(provider: str, box: Sandbox, **options: Any) -> Any:
    """A real chat model of LangChain that asks the sandbox."""
    shared = {"model": MODELS[provider], "api_key": KEY, "max_retries": 0, **options}
    if provider == "openai":
        return ChatOpenAI(base_url=box.openai_base_url, **shared)
    return ChatAnthropic(base_url=box.anthropic_base_url, max_tokens=100, **shared)


def ready(*answers: str) -> Any:
    """A model that says this, one after the other, without any server."""
    return FakeListChatModel(responses=list(answers or ["fine"]))


def still(folder: Path, **options: Any) -> ParquetLogger:
    """A logger that writes only when it is told to."""
    return ParquetLogger(
        folder / "logs", **{"buffer_size": 10**6, "flush_seconds": 10**6, **options}
    )


def run_async(provider: str, llm: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do it in a loop of its own; connections of the model are closed before the loop ends."""

    async def main() -> Any:
        try:
            return await work()
        finally:
            client = llm.root_async_client if provider == "openai" else llm._async_client
            await client.close()

    return asyncio.run(main())
