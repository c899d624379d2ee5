"""Uploads that their vendor has no longer when the next run wants to name them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from run_lab import CLAUDE, GPT, Lab, all_of
from upload_lab import asking, left_over, pdf, uploads

from batchata.core.result import Reason
from batchata.core.upload import UploadStatus
from batchata.engine.clock import SystemClock
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.ports import RemoteFile
from batchata.providers.anthropic.files import AnthropicFiles
from batchata.providers.openai.files import OpenAIFiles

ROUTES = pytest.mark.parametrize("route", ["batch", "live"])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One file."""
    (tmp_path / "a.pdf").write_bytes(pdf())
    return {"a.pdf": tmp_path / "a.pdf"}


def leave_behind(lab: Lab, files: dict[str, Path], model: str, route: str) -> None:
    """A run whose upload stays at the vendor, because it cannot be deleted."""
    no = HttpFault(action="status", route="*.files.delete", times=None, status=500)
    lab.play(scenario=Scenario(http=(no,)))
    asking(lab, files, model, None, route).run()
    assert len(left_over(lab)) == 1
    lab.play()


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_upload_that_expired_meanwhile_is_made_again(
    lab: Lab,
    files: dict[str, Path],
    model: str,
    route: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_behind(lab, files, model, route)
    days = timedelta(days=4)
    now = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda clock: now(clock) + days)
    lab.play(scenario=Scenario(clock_skew_seconds=days.total_seconds()))
    batch = asking(lab, files, model, None, route).add_job(
        file=files["a.pdf"], prompt="Is it paid?", id="later"
    )

    found = all_of(batch.run())

    assert {each.error for each in found.values()} == {None}
    assert len(uploads(lab)) == 2
    assert {each.status for each in uploads(lab)} == {UploadStatus.GONE}


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_upload_that_somebody_deleted_meanwhile_is_made_again(
    lab: Lab, files: dict[str, Path], model: str, route: str
) -> None:
    leave_behind(lab, files, model, route)
    (old,) = uploads(lab)
    if model == GPT:
        openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url).files.delete(old.file_id)
    else:
        client = anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url)
        client.files.delete(old.file_id)
    batch = asking(lab, files, model, None, route).add_job(
        file=files["a.pdf"], prompt="Is it paid?", id="later"
    )

    found = all_of(batch.run())

    assert {each.error for each in found.values()} == {None}
    assert len(uploads(lab)) == 2
    assert left_over(lab) == []


def delete_once_uploaded(model: str, times: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody deletes files at the vendor as soon as they are there; their ids."""
    kind: Any = OpenAIFiles if model == GPT else AnthropicFiles
    upload, deleted = kind.upload, list[str]()

    async def upload_and_delete(files: Any, *args: Any) -> RemoteFile:
        remote: RemoteFile = await upload(files, *args)
        if len(deleted) < times:
            await files.delete(remote.id)
            deleted.append(remote.id)
        return remote

    monkeypatch.setattr(kind, "upload", upload_and_delete)
    return deleted


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_upload_that_is_deleted_while_the_run_goes_on_is_made_again_in_the_same_run(
    lab: Lab,
    files: dict[str, Path],
    model: str,
    route: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deleted = delete_once_uploaded(model, 1, monkeypatch)

    found = all_of(asking(lab, files, model, None, route).run())

    assert len(deleted) == 1
    assert {each.error for each in found.values()} == {None}
    assert len(uploads(lab)) == 2
    assert left_over(lab) == []


@ROUTES
def test_a_vendor_that_loses_every_upload_fails_the_jobs_in_the_end(
    lab: Lab, files: dict[str, Path], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = delete_once_uploaded(GPT, 100, monkeypatch)

    found = all_of(asking(lab, files, GPT, None, route).run())

    assert {each.reason for each in found.values()} == {Reason.INVALID_REQUEST}
    assert 1 < len(deleted) < 10


@ROUTES
def test_a_request_that_is_refused_for_another_reason_is_not_made_again(
    lab: Lab, files: dict[str, Path], route: str
) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="invalid_request"),)))

    found = all_of(asking(lab, files, GPT, None, route).run())

    assert {each.reason for each in found.values()} == {Reason.INVALID_REQUEST}
    assert {each.attempts for each in found.values()} == {1}
    assert len(uploads(lab)) == 1
