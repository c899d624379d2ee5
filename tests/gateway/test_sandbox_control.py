"""The sandbox's own face: ledger, request log, scenarios, threads and processes."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
import warnings
from pathlib import Path

import msgspec
import pytest
from openai import OpenAI
from sandbox_lab import Lab

from batchata.core.errors import RunError
from batchata.gateway import FAULTS, HttpFault, ItemFault, Ledger, Sandbox, Scenario, with_faults


def call(lab: Lab, path: str, method: str = "GET", data: bytes | None = None) -> bytes:
    request = urllib.request.Request(lab.box.url + path, data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        body: bytes = answer.read()
    return body


def test_the_ledger_over_http_is_the_ledger_in_process(lab: Lab) -> None:
    lab.batch(3, metadata={"token": "t"})
    lab.claude_batch(2)
    lab.anthropic.messages.create(**lab.params())

    ledger = Ledger.from_json(call(lab, "/_sandbox/ledger"))

    assert ledger == lab.box.ledger
    assert [(b.vendor, b.n, b.status) for b in ledger.batches] == [
        ("openai", 3, "completed"),
        ("anthropic", 2, "completed"),
    ]
    assert ledger.batches[0].metadata == {"token": "t"}
    assert ledger.batches[1].custom_ids == ["id-0", "id-1"]
    assert (ledger.billed_items, len(ledger.live)) == (5, 1)


def test_the_ledger_bills_batches_that_nobody_polled(lab: Lab) -> None:
    lab.batch(3)

    assert lab.box.ledger.custom_ids == ["id-0", "id-1", "id-2"]


def test_the_ledger_counts_attempts_and_knows_equal_questions(lab: Lab) -> None:
    lab.poll(lab.batch(1))
    lab.poll(lab.batch(1))

    first, second = lab.box.ledger.items

    assert [first.attempt, second.attempt] == [1, 2]
    assert first.content == second.content


def test_the_bill_is_what_the_answers_say(lab: Lab) -> None:
    done = lab.poll(lab.batch(5))

    ledger = lab.box.ledger

    assert done.usage is not None
    assert ledger.input_tokens == done.usage.input_tokens
    assert ledger.output_tokens == done.usage.output_tokens


def test_requests_are_logged_with_the_name_of_their_route(lab: Lab) -> None:
    lab.poll(lab.batch(1))

    logged = lab.box.requests

    routes = ["openai.files.create", "openai.batches.create", "openai.batches.retrieve"]
    assert [request.route for request in logged] == routes
    assert b'"POST"' in call(lab, "/_sandbox/requests")


def test_a_scenario_can_be_changed_and_the_sandbox_emptied_over_http(lab: Lab) -> None:
    lab.batch(1)

    call(lab, "/_sandbox/scenario", "PUT", b'{"latency_seconds": 7}')
    assert lab.box.scenario.latency_seconds == 7
    call(lab, "/_sandbox/reset", "POST")
    assert lab.box.ledger.batches == []
    assert lab.openai.files.list().data == []


def test_a_misspelt_scenario_is_refused(lab: Lab) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        call(lab, "/_sandbox/scenario", "PUT", b'{"latency": 7}')
    with pytest.raises(msgspec.ValidationError, match="HttpFault has no field acton"):
        Scenario.from_json(b'{"http": [{"acton": "cut"}]}')


@pytest.mark.parametrize("name", FAULTS)
def test_every_named_fault_is_described_and_travels_as_json(name: str) -> None:
    scenario = with_faults(Scenario(), name)

    assert FAULTS[name].description
    assert scenario != Scenario()
    assert Scenario.from_json(scenario.to_json()) == scenario


def test_named_faults_add_to_a_scenario_in_order() -> None:
    own = Scenario(latency_seconds=5, http=(HttpFault(action="cut"),))

    scenario = with_faults(own, "http-500, refusal,slow-cancel")

    assert scenario.latency_seconds == 5
    assert scenario.cancel_seconds == 600
    assert [fault.action for fault in scenario.http] == ["cut", "status"]
    assert scenario.items == (ItemFault(outcome="refusal", share=0.1),)


def test_an_unknown_fault_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="no fault is called 'nope'; there are: shuffled, "):
        with_faults(Scenario(), "nope")


def test_a_sandbox_leaves_no_thread_no_folder_and_no_warning() -> None:
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Sandbox() as box, OpenAI(base_url=box.openai_base_url, api_key="k") as client:
            client.files.create(file=("jobs.jsonl", b"{}\n"), purpose="batch")
            folder = box.folder
            assert any(folder.iterdir())

    assert not folder.exists()
    assert threading.active_count() == before


def test_a_sandbox_runs_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    with Sandbox() as box, OpenAI(base_url=box.openai_base_url, api_key="k") as client:
        uploaded = client.files.create(file=("jobs.jsonl", b"{}\n"), purpose="batch")
        assert client.files.content(uploaded.id).content == b"{}\n"


def test_a_sandbox_says_when_its_port_is_taken() -> None:
    with Sandbox() as box:
        port = int(box.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"), Sandbox(port=port):
            pass


def test_a_sandbox_outside_its_block_says_so() -> None:
    with pytest.raises(RunError, match="use it in a `with` block"):
        _ = Sandbox().url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_tells_its_url_and_stops_at_a_signal(tmp_path: Path, number: int) -> None:
    file = tmp_path / "scenario.json"
    file.write_bytes(Scenario(latency_seconds=1).to_json())
    command = [sys.executable, "-W", "error", "-m", "batchata.gateway", "--quiet"]
    options = ["--scenario", str(file), "--faults", "http-500", "--latency", "9"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command + options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().strip()
        with urllib.request.urlopen(f"{url}/_sandbox/scenario") as answer:
            scenario = Scenario.from_json(answer.read())
        process.send_signal(number)
        process.wait(60)
        errors = process.stderr.read()

    assert (scenario.latency_seconds, len(scenario.http)) == (9, 1)
    assert (process.returncode, errors) == (0, b"")
    assert list(tmp_path.iterdir()) == [file]
