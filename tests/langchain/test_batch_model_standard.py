"""LangChain's own standard tests; they run where `langchain-tests` is there: `make langchain`."""

from __future__ import annotations

from typing import Any

import pytest

unit_tests = pytest.importorskip("langchain_tests.unit_tests")
if unit_tests:
    from batchata.integrations.langchain import BatchataChatModel


class _Standard(unit_tests.ChatModelUnitTests):  # type: ignore[misc, name-defined]
    @property
    def chat_model_class(self) -> type[BatchataChatModel]:
        return BatchataChatModel


class TestThroughOpenAI(_Standard):
    """With ChatOpenAI underneath."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-6-luna", "api_key": "sandbox"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OPENAI_API_KEY": "from-env"}, {"model": "gpt-6-luna"}, {}


class TestThroughAnthropic(_Standard):
    """With ChatAnthropic underneath."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "claude-haiku-5-5", "api_key": "sandbox"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"ANTHROPIC_API_KEY": "from-env"}, {"model": "claude-haiku-5-5"}, {}
