"""Our own implementations of the ports, under the contracts that plug-ins are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from batchata.engine.viewing import Viewer
from batchata.gateway import Sandbox
from batchata.ports import Codec, EventSink, Provider, Store
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.control import ProviderSettings
from batchata.providers.openai.codec import OpenAICodec
from batchata.providers.registry import create_provider
from batchata.sinks.eventlog.run_events import RunEvents
from batchata.sinks.exporter import Exporter
from batchata.stores.cache import CacheFeeder
from batchata.stores.sqlite import SQLiteStore
from batchata.testing import FakeBackgroundAPI, FakeCodec, FakeFilesAPI, FakeProvider, MemoryStore
from batchata.testing.contracts import (
    BackgroundAPIContract,
    BatchAPIContract,
    CodecContract,
    FilesAPIContract,
    ProviderContract,
    StoreContract,
)
from batchata.testing.fake_codec import answer_body
from batchata.testing.vendor_contract import VendorContract


class TestSQLiteStore(StoreContract):
    def open_store(self, folder: Path) -> Store:
        return SQLiteStore(folder / "state.db")


class TestMemoryStore(StoreContract):
    kept: dict[Path, MemoryStore]

    @pytest.fixture(autouse=True)
    def _memory(self) -> None:
        self.kept = {}

    def open_store(self, folder: Path) -> Store:
        before = self.kept.get(folder)
        self.kept[folder] = (
            MemoryStore() if before is None else MemoryStore(before.events, before.values)
        )
        return self.kept[folder]


@pytest.mark.parametrize("watcher", [Viewer, Exporter, CacheFeeder, RunEvents])
def test_whoever_is_told_of_events_is_an_event_sink(watcher: type[object]) -> None:
    assert issubclass(watcher, EventSink)


CHAT = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": None}
MESSAGE = {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}


class TestOpenAICodec(CodecContract):
    models = ("gpt-6-luna", "text-embedding-3-small")
    answers = (("gpt-6-luna", orjson.dumps(CHAT), "hi"),)

    def make_codec(self) -> Codec:
        return OpenAICodec()


class TestAnthropicCodec(CodecContract):
    models = ("claude-haiku-5-5",)
    answers = (("claude-haiku-5-5", orjson.dumps(MESSAGE), "hi"),)

    def make_codec(self) -> Codec:
        return AnthropicCodec()


class TestFakeCodec(CodecContract):
    answers = (("fake-model", answer_body("hi"), "hi"),)

    def make_codec(self) -> Codec:
        return FakeCodec()


@pytest.mark.parametrize("name", ["openai", "anthropic", "fake"])
class TestProviders(ProviderContract):
    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name

    def make_provider(self) -> Provider:
        return FakeProvider() if self.name == "fake" else create_provider(self.name)


class TestFakeBatchAPI(BatchAPIContract):
    @contextmanager
    def open_provider(self, folder: Path) -> Iterator[Callable[[], Provider]]:
        yield FakeProvider


class TestFakeFilesAPI(FilesAPIContract):
    @contextmanager
    def open_provider(self, folder: Path) -> Iterator[Callable[[], Provider]]:
        yield lambda: FakeProvider(files=FakeFilesAPI())


class TestFakeBackgroundAPI(BackgroundAPIContract):
    @contextmanager
    def open_provider(self, folder: Path) -> Iterator[Callable[[], Provider]]:
        yield lambda: FakeProvider(background=FakeBackgroundAPI())


class OverTheSandbox(VendorContract):
    """A real SDK and the sandbox behind it."""

    provider: str

    @pytest.fixture(autouse=True)
    def _sandbox(self, shared_box: Sandbox) -> None:
        from batchata.gateway import Scenario

        shared_box.set_scenario(Scenario())
        shared_box.reset()
        self.box = shared_box

    @contextmanager
    def open_provider(self, folder: Path) -> Iterator[Callable[[], Provider]]:
        url = self.box.openai_base_url if self.provider == "openai" else self.box.url
        settings = ProviderSettings(api_key="k", base_url=url)
        yield lambda: create_provider(self.provider, settings)


class TestOpenAIBatch(OverTheSandbox, BatchAPIContract):
    provider, model = "openai", "gpt-6-luna"


class TestAnthropicBatch(OverTheSandbox, BatchAPIContract):
    provider, model = "anthropic", "claude-haiku-5-5"


class BehindTheGateway(OverTheSandbox):
    """The gateway's batch APIs, whose requests the sandbox answers live."""

    @contextmanager
    def open_provider(self, folder: Path) -> Iterator[Callable[[], Provider]]:
        from batchata.gateway import Gateway

        batches = {"batches": {"directory": str(folder / "gateway")}}
        with Gateway(self.box.url, type=self.provider, config=batches) as gateway:
            url = gateway.openai_base_url if self.provider == "openai" else gateway.url
            settings = ProviderSettings(api_key="k", base_url=url)
            yield lambda: create_provider(self.provider, settings)


class TestOpenAIBatchOfTheGateway(BehindTheGateway, BatchAPIContract):
    provider, model = "openai", "gpt-6-luna"


class TestAnthropicBatchOfTheGateway(BehindTheGateway, BatchAPIContract):
    provider, model = "anthropic", "claude-haiku-5-5"


class TestOpenAIFiles(OverTheSandbox, FilesAPIContract):
    provider, model = "openai", "gpt-6-luna"


class TestAnthropicFiles(OverTheSandbox, FilesAPIContract):
    provider, model = "anthropic", "claude-haiku-5-5"


class TestOpenAIBackground(OverTheSandbox, BackgroundAPIContract):
    provider, model = "openai", "gpt-6-luna"
