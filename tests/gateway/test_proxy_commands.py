"""What the commands of the gateway say to who writes something wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_lab import call, request_bytes
from typer.testing import CliRunner, Result

from batchata.cli.app import app
from batchata.core.errors import StateLockedError
from batchata.gateway import Gateway
from batchata.gateway.batches.store import BatchStore
from batchata.gateway.held.folder import HeldFolder

URL = "http://127.0.0.1:9"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_validating_names_everything_that_is_wrong_with_interceptors(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"llm: {{base_url: '{URL}'}}\ninterceptors:\n- budgett\n"
        "- {type: budget, config: {limit: 5, wait_seconds: long}}\n"
    )

    found = invoke("proxy", "validate-config", str(file))

    assert found.exit_code == 1
    for said in ("did you mean 'budget'", "no option 'limit'", "wait_seconds", "interceptors[1]"):
        assert said in found.stderr


def test_validating_names_every_interceptor_that_cannot_be_made(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        f"llm: {{base_url: '{URL}'}}\ninterceptors:\n- budget\n"
        "- {type: replay, config: {miss: maybe}}\n"
    )

    found = invoke("proxy", "validate-config", str(file))

    assert found.exit_code == 1
    assert "write limit_usd: 5" in found.stderr
    assert "miss is 'maybe'" in found.stderr


def test_a_folder_for_held_calls_says_nothing_without_them() -> None:
    found = invoke("proxy", "run", "--base-url", URL, "--held", "x")

    assert found.exit_code == 1
    assert "write --to-batch 1h too" in found.stderr


@pytest.mark.parametrize("kind", ["batches", "held calls"])
def test_a_folder_that_another_gateway_has_is_named(tmp_path: Path, kind: str) -> None:
    def folder() -> BatchStore | HeldFolder:
        return HeldFolder(tmp_path) if kind == "held calls" else BatchStore(tmp_path, lambda: 0.0)

    first = folder()
    first.open()
    with pytest.raises(StateLockedError, match=f"the folder of {kind} '{tmp_path}'") as caught:
        folder().open()
    first.close()

    assert caught.value.hint == "stop it, or name another folder"


def test_who_asks_a_cassette_too_often_is_told_how_to_have_more(tmp_path: Path) -> None:
    (tmp_path / "cassette.jsonl").write_text(
        '{"nth":1,"request":{"method":"GET","target":"/v1/models","body":null},'
        '"response":{"status":200,"headers":{},"text":"x"}}\n'
    )
    tape = {"type": "replay", "config": {"directory": str(tmp_path)}}
    with Gateway(URL, config={"interceptors": [tape]}) as gateway:
        first, again = (call(gateway.url, request_bytes(b"/v1/models")) for _ in range(2))

    assert (first.status, again.status) == (200, 404)
    assert b"recorded once and asked once more" in again.body
    assert b"--repeat" in again.body
