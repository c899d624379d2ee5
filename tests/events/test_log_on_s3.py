"""The event log in a bucket, against a server that speaks S3."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchata import EventLog, LoggedEvent, compact_events, read_events
from batchata.core.errors import EventLogError

if TYPE_CHECKING:
    from s3_lab import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::ResourceWarning"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    lab = importlib.import_module("s3_lab")
    with pytest.MonkeyPatch.context() as patch, lab.serving() as store:
        for name, value in lab.ENVIRONMENT.items():
            patch.setenv(name, value)
        from pyarrow import fs

        files = fs.S3FileSystem(
            endpoint_override=store.endpoint, region="us-east-1", allow_bucket_creation=True
        )
        files.create_dir(lab.BUCKET)
        yield store


@pytest.fixture
def store(running: Store) -> Iterator[Store]:
    running.refuses = False
    running.gate.set()
    yield running
    running.refuses = False
    running.gate.set()


def still(where: str, folder: Path, **options: object) -> EventLog:
    return EventLog(
        where,
        buffer_size=10**6,
        flush_seconds=10**6,
        journal_dir=folder / "journal",
        **options,
    )


def event(number: int) -> LoggedEvent:
    return LoggedEvent(event_type="llm_end", custom_id=f"row-{number}", data={"answer": "x"})


def ids(where: str) -> list[str]:
    return sorted(read_events(where)["logger_custom_id"])


def test_events_come_back_from_a_bucket(store: Store, tmp_path: Path) -> None:
    where = store.url("plain")

    with still(where, tmp_path) as log:
        for number in range(3):
            log.write(event(number))
            log.flush()

    assert ids(where) == ["row-0", "row-1", "row-2"]
    compact_events(where)
    assert ids(where) == ["row-0", "row-1", "row-2"]
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_bucket_that_refuses_loses_nothing(store: Store, tmp_path: Path) -> None:
    where = store.url("refusing")
    log = still(where, tmp_path)
    store.refuses = True
    log.write(event(1))

    was_written = log.flush()
    log.write(event(2))
    store.refuses = False

    assert not was_written
    assert log.is_safe
    assert log.close()
    assert ids(where) == ["row-1", "row-2"]


KILLED = """
import os, signal, sys
from batchata import EventLog, LoggedEvent
log = EventLog(sys.argv[1], journal_dir=sys.argv[2])
log.write(LoggedEvent(event_type="llm_end", custom_id="row-1"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_events_to_the_next(store: Store, tmp_path: Path) -> None:
    where = store.url("killed")
    subprocess.run([sys.executable, "-c", KILLED, where, tmp_path / "journal"], check=False)

    assert still(where, tmp_path).flush()

    assert ids(where) == ["row-1"]


def test_a_bucket_that_takes_its_time_holds_up_no_event(store: Store, tmp_path: Path) -> None:
    log = still(store.url("slow"), tmp_path)
    log.write(event(0))
    store.gate.clear()
    before = store.puts
    writer = threading.Thread(target=log.flush)
    writer.start()
    while store.puts == before:
        time.sleep(0.01)

    began = time.monotonic()
    for number in range(1, 50):
        log.write(event(number))
    took = time.monotonic() - began
    store.gate.set()
    writer.join()

    assert took < 5
    assert log.close()
    assert len(ids(store.url("slow"))) == 50


def test_a_bucket_that_is_not_there_is_told(store: Store, tmp_path: Path) -> None:
    log = still(store.url("x", bucket="no-such-bucket"), tmp_path, on_failure="error")
    log.write(event(1))

    with pytest.raises(EventLogError, match="no-such-bucket"):
        log.flush()
    with pytest.raises(EventLogError, match="no-such-bucket"):
        log.write(event(2))
    assert log.is_safe


def test_a_langchain_logger_writes_to_its_folder_and_to_the_bucket(
    store: Store, tmp_path: Path
) -> None:
    lc = importlib.import_module("batchata.integrations.langchain")
    models = importlib.import_module("langchain_core.language_models.fake_chat_models")
    llm = models.FakeListChatModel(responses=["fine"])
    bucket = lc.S3Config(
        "logs-of-tests", "lc/", endpoint_url=store.endpoint, region="us-east-1", retry_attempts=1
    )

    with lc.ParquetLogger(tmp_path / "logs", s3_config=bucket) as logger:
        llm.invoke("?", {"callbacks": [logger]})
    here, there = read_events(tmp_path / "logs"), read_events(store.url("lc"))
    store.refuses = True
    llm.invoke("?", {"callbacks": [logger]})
    before = store.puts
    with pytest.raises(EventLogError, match="lc"):
        logger.flush()
    tried = store.puts - before
    store.refuses = False

    assert tried == 1
    assert list(here["payload"]) == list(there["payload"])
    assert logger.close()
    assert len(read_events(store.url("lc"))) == 4
