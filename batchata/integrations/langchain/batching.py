"""A chat model of LangChain whose `.batch()` goes through the vendor's batch API."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import ConfigDict, Field, PrivateAttr

from batchata.batch import Batch
from batchata.core.errors import BatchataError, ValidationError
from batchata.core.job import Job
from batchata.core.models import infer_provider
from batchata.integrations.langchain.answers import (
    CLASSES,
    answer_of,
    error_of,
    job_of,
    provider_of,
    told_apart,
)
from batchata.providers.control import ProviderSettings
from batchata.run import BatchRun

#: where answers are kept unless a batch with another place is given
DEFAULT_DIR = "batchata-answers"
_LOOK_SECONDS = 0.05

Fetched = ChatResult | BatchataError
#: how the call that is about to be made has ended already
_FETCHED: ContextVar[Fetched | None] = ContextVar("fetched", default=None)


class BatchataChatModel(BaseChatModel):
    """A chat model whose `.batch()` and `.abatch()` go through the vendor's batch API.

    `model` is a name such as "gpt-6-luna" or "anthropic:claude-haiku-5-5", and other options go to
    `ChatOpenAI` or `ChatAnthropic`; `llm` is such a model, already made. `through` is a Batch
    without jobs whose folder, state file, cost limit, route and event log apply. Answers are kept
    in the state file, so that the same questions cost nothing after a crash, or when asked again.
    `.invoke`, streaming and tools are the model's own.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    llm: BaseChatModel
    through: Any = Field(exclude=True, repr=False)
    _turn: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self,
        model: str | None = None,
        *,
        llm: BaseChatModel | None = None,
        through: Batch | None = None,
        **options: Any,
    ) -> None:
        theirs = {
            name: value for name, value in options.items() if name not in BaseChatModel.model_fields
        }
        if llm is None:
            llm = _chat_model(model, theirs)
        elif model is not None or theirs:
            raise ValidationError(
                f"an llm was given, and {next(iter(theirs), 'model')!r} beside it",
                hint="give the options to the llm itself",
            )
        provider_of(llm)
        if through is None:
            through = Batch(DEFAULT_DIR, items_per_batch=None, result_format="jsonl")
        elif not isinstance(through, Batch) or through:
            raise ValidationError(
                f"through is {through!r}, not a Batch without jobs",
                hint='write through=Batch("out").add_cost_limit(5)',
            )
        ours: dict[str, Any] = {"llm": llm, "through": through}
        super().__init__(**ours, **{name: options[name] for name in options.keys() - theirs})

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Ask all questions at the vendor's batch price; answers are in the order of the questions.

        Returns when all have ended. Without `return_exceptions` the first error is raised then;
        the other answers are kept, and asking again returns them without another bill.
        """
        if not inputs:
            return []
        run, jobs = self._run(inputs, options)
        with self._turn:
            run.execute()
        made: list[Any] = []
        configs = get_config_list(config, len(inputs))
        for given, each, found in zip(inputs, configs, _fetched(run, jobs), strict=True):
            with _returning(found):
                try:
                    made.append(self.invoke(given, each, **options))
                except BatchataError as error:
                    made.append(error)
        return _all(made, return_exceptions)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """`batch` from async code; if it is cancelled, the run stops in good order."""
        if not inputs:
            return []
        run, jobs = self._run(inputs, options)
        while not self._turn.acquire(blocking=False):
            await asyncio.sleep(_LOOK_SECONDS)
        try:
            await ended(run.start())
        finally:
            self._turn.release()
        made: list[Any] = []
        configs = get_config_list(config, len(inputs))
        for given, each, found in zip(inputs, configs, _fetched(run, jobs), strict=True):
            with _returning(found):
                try:
                    made.append(await self.ainvoke(given, each, **options))
                except BatchataError as error:
                    made.append(error)
        return _all(made, return_exceptions)

    def batch_as_completed(
        self, inputs: Sequence[Any], config: Any = None, **options: Any
    ) -> Iterator[Any]:
        """Answers with their indexes; a batch gives all of them at once."""
        yield from enumerate(self.batch(list(inputs), config, **options))

    async def abatch_as_completed(
        self, inputs: Sequence[Any], config: Any = None, **options: Any
    ) -> AsyncIterator[Any]:
        """The same from async code."""
        for found in enumerate(await self.abatch(list(inputs), config, **options)):
            yield found

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[Any, AIMessage]:
        """The model with tools, in single calls and in batches."""
        bound: Any = self.llm.bind_tools(tools, **options)
        return self.bind(**bound.kwargs)

    def _run(
        self, inputs: Sequence[LanguageModelInput], options: Mapping[str, Any]
    ) -> tuple[BatchRun, list[Job]]:
        rest = dict(options)
        stop = rest.pop("stop", None)
        asked = [self._convert_input(each).to_messages() for each in inputs]
        jobs = list(told_apart([job_of(self.llm, each, stop, rest) for each in asked]))
        batch: Batch = self.through
        provider = provider_of(self.llm)
        providers = {provider: ProviderSettings(client=_client(self.llm)), **batch.providers}
        return BatchRun(batch.config, jobs, providers=providers, decide=batch.decide), jobs

    @property
    def _llm_type(self) -> str:
        return self.llm._llm_type

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.llm._identifying_params

    def _get_ls_params(self, stop: list[str] | None = None, **options: Any) -> Any:
        return self.llm._get_ls_params(stop=stop, **options)

    def _get_invocation_params(self, stop: list[str] | None = None, **options: Any) -> Any:
        return self.llm._get_invocation_params(stop=stop, **options)

    def _should_stream(self, **options: Any) -> bool:
        return _FETCHED.get() is None and super()._should_stream(**options)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> ChatResult:
        found = _FETCHED.get()
        if found is None:
            return self.llm._generate(messages, stop=stop, run_manager=run_manager, **options)
        return _given(found)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> ChatResult:
        found = _FETCHED.get()
        if found is None:
            return await self.llm._agenerate(
                messages, stop=stop, run_manager=run_manager, **options
            )
        return _given(found)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from self.llm._stream(messages, stop=stop, run_manager=run_manager, **options)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        stream = self.llm._astream(messages, stop=stop, run_manager=run_manager, **options)
        async for chunk in stream:
            yield chunk


def batch_model(llm: BaseChatModel, through: Batch | None = None) -> BatchataChatModel:
    """The same model, with `.batch()` and `.abatch()` through the vendor's batch API.

    Takes a `ChatOpenAI`, a `ChatAnthropic`, and models of classes derived from them. Raises
    ValidationError for others, including those of clouds that lack the vendor's batch API, such
    as Azure: `batch_run` asks those live.
    """
    return BatchataChatModel(llm=llm, through=through)


def _chat_model(model: str | None, options: Mapping[str, Any]) -> BaseChatModel:
    provider, name = infer_provider(model or "", CLASSES)
    module, kind = CLASSES[provider]
    try:
        made = getattr(importlib.import_module(module), kind)
    except ImportError as error:
        package = module.replace("_", "-")
        raise ValidationError(
            f"{model!r} needs {package}, which is not installed", hint=f"pip install {package}"
        ) from error
    llm: BaseChatModel = made(model=name, **options)
    return llm


def _client(llm: Any) -> Any:
    """The vendor's SDK as the model was told to use it."""
    return llm._client if provider_of(llm) == "anthropic" else llm.root_client


async def ended(run: BatchRun) -> None:
    """Wait for a run; it stops in good order when the caller is cancelled."""
    try:
        await asyncio.to_thread(run.wait)
    except asyncio.CancelledError:
        run.stop("the caller was cancelled")
        with suppress(BatchataError):  # the state file is free when it has ended
            await asyncio.to_thread(run.wait)
        raise


def _fetched(run: BatchRun, jobs: Sequence[Job]) -> Iterator[Fetched]:
    found = {each.job_id: each for each in run.results().iter_all()}
    for job in jobs:
        result = found[job.id]
        yield answer_of(result) if result.is_success else error_of(result)


@contextmanager
def _returning(found: Fetched) -> Iterator[None]:
    token = _FETCHED.set(found)
    try:
        yield
    finally:
        _FETCHED.reset(token)


def _given(found: Fetched) -> ChatResult:
    if isinstance(found, BatchataError):
        raise found
    return found


def _all(made: list[Any], return_exceptions: bool) -> list[Any]:
    for each in made:
        if isinstance(each, BaseException) and not return_exceptions:
            raise each
    return made
