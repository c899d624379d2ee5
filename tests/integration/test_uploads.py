"""Files that go to their vendor once and are named by id, and that nothing is left of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from run_lab import CLAUDE, GPT, TOLD, Lab, all_of, cost_of, end_limits
from upload_lab import asking, calls, left_over, pdf, three_files, uploads

from batchata import FileId, Job, Reason
from batchata.core.upload import UploadStatus
from batchata.gateway import HttpFault, Scenario
from batchata.providers.anthropic.live import AnthropicLive

KINDS = [(GPT, None), (GPT, "responses"), (CLAUDE, None)]
VENDORS = pytest.mark.parametrize(("model", "endpoint"), KINDS)
ROUTES = pytest.mark.parametrize("route", ["batch", "live"])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return three_files(tmp_path)


@ROUTES
@VENDORS
def test_each_file_is_uploaded_once_named_by_id_and_removed_in_the_end(
    lab: Lab, files: dict[str, Path], model: str, endpoint: str | None, route: str
) -> None:
    run = asking(lab, files, model, endpoint, route).run()

    found = all_of(run)
    by_id = 2 if model == CLAUDE or endpoint is None else 3  # Word is text there, images inline
    assert {each.error for each in found.values()} == {None}
    assert len(found) == 7
    assert len(uploads(lab)) == by_id
    assert {each.status for each in uploads(lab)} == {UploadStatus.GONE}
    assert left_over(lab) == []
    if route == "batch":
        assert lab.billed_usd == cost_of(found.values())


@VENDORS
def test_a_job_is_the_same_and_costs_the_same_however_its_files_go(
    lab: Lab, files: dict[str, Path], model: str, endpoint: str | None
) -> None:
    first = all_of(asking(lab, files, model, endpoint).run())
    sent = len(lab.ledger.items)

    again = all_of(asking(lab, files, model, endpoint).set_uploads("never").run())

    assert again == first
    assert len(lab.ledger.items) == sent


def requests_of(lab: Lab) -> list[bytes]:
    folder = lab.out / "raw_files" / "requests"
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_only_what_adds_a_megabyte_to_the_requests_is_uploaded_by_itself(
    lab: Lab, tmp_path: Path, model: str
) -> None:
    for name, size in (("small.pdf", 1_000), ("shared.pdf", 300_000), ("large.pdf", 1_000_000)):
        (tmp_path / name).write_bytes(pdf(size, size))
    batch = lab.batch(items_per_batch=None).set_default_params(model=model, max_tokens=60)
    for name in ("small.pdf", "large.pdf", *["shared.pdf"] * 4):
        batch.add_job(file=tmp_path / name, prompt="What is it?")

    found = all_of(batch.run())

    (request,) = requests_of(lab)
    assert {each.error for each in found.values()} == {None}
    assert sorted(each.size_bytes for each in uploads(lab)) == [300_000, 1_000_000]
    assert len(request) < 10_000
    assert left_over(lab) == []


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_batches_are_planned_by_the_size_of_what_is_sent(
    lab: Lab, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from batchata.providers.anthropic.batch import AnthropicBatch
    from batchata.providers.openai.batch import OpenAIBatch

    api = AnthropicBatch if model == CLAUDE else OpenAIBatch
    monkeypatch.setattr(api, "limits", replace(api.limits, size_bytes=500_000))  # type: ignore[attr-defined]
    batch = lab.batch(items_per_batch=None).set_default_params(model=model, max_tokens=60)
    for number in range(6):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(pdf(number, 200_000 if number % 2 else 1_200_000))
        batch.add_job(file=path, prompt="What is it?", id=f"q{number}")
    expected = batch.run(dry_run=True)

    found = all_of(batch.run())

    sizes = [len(each) for each in requests_of(lab)]
    assert {each.error for each in found.values()} == {None}
    assert len(sizes) == 3
    assert max(sizes) <= 500_000
    assert expected is not None


@VENDORS
def test_a_file_that_vanishes_or_changes_before_its_upload_fails_its_job_alone(
    lab: Lab, files: dict[str, Path], tmp_path: Path, model: str, endpoint: str | None
) -> None:
    for number, name in enumerate(("gone.pdf", "new.pdf"), 7):
        files[name] = tmp_path / name
        files[name].write_bytes(pdf(number))

    def jobs() -> Iterator[Job]:
        for name, path in files.items():
            yield Job(name, model, file=path, prompt="What?", max_tokens=60, endpoint=endpoint)
        files["gone.pdf"].unlink()
        files["new.pdf"].write_bytes(pdf(9))

    found = all_of(lab.batch().set_uploads("always").add_jobs(jobs()).run())

    assert sorted(name for name, each in found.items() if not each.is_success) == [
        "gone.pdf",
        "new.pdf",
    ]
    assert "can no longer be read" in str(found["gone.pdf"].error)
    assert "has changed" in str(found["new.pdf"].error)
    assert found["new.pdf"].reason is Reason.BAD_INPUT
    assert left_over(lab) == []


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_upload_whose_answer_was_lost_is_found_and_not_made_twice(
    lab: Lab, files: dict[str, Path], model: str, route: str
) -> None:
    cut = HttpFault(action="cut_after", route="*.files.create", times=1)
    lab.play(scenario=Scenario(http=(cut,)))

    found = all_of(asking(lab, {"a.pdf": files["a.pdf"]}, model, None, route).run())

    assert {each.error for each in found.values()} == {None}
    assert len(uploads(lab)) == 1
    assert left_over(lab) == []


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_vendor_that_takes_no_files_gets_them_inside_the_requests(
    lab: Lab, files: dict[str, Path], tmp_path: Path, model: str, route: str, status: int
) -> None:
    no = HttpFault(action="status", route="*.files.create", times=None, status=status)
    large = tmp_path / "large.pdf"
    large.write_bytes(pdf(1, 1_000_000))
    if route == "batch" and model == GPT:
        no = HttpFault(action="status", route="openai.files.create", times=1, status=status)
    lab.play(scenario=Scenario(http=(no,)))
    batch = asking(lab, {"large.pdf": large}, model, None, route).set_uploads("auto")

    found = all_of(batch.run())

    assert {each.error for each in found.values()} == {None}
    assert left_over(lab) == []


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_refused_upload_fails_its_jobs_with_the_vendors_words_where_it_must_be_one(
    lab: Lab, files: dict[str, Path], model: str
) -> None:
    no = HttpFault(action="status", route="*.files.create", times=1, status=400)
    lab.play(scenario=Scenario(http=(no,)))

    found = all_of(asking(lab, {"a.pdf": files["a.pdf"]}, model, None).run())

    assert {each.reason for each in found.values()} == {Reason.BAD_INPUT}
    assert all("scripted fault" in str(each.error) for each in found.values())
    assert all('set_uploads("never")' in str(each.error) for each in found.values())


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_clean_up_that_fails_is_told_and_made_good_by_the_next_run(
    lab: Lab,
    files: dict[str, Path],
    model: str,
    route: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    no = HttpFault(action="status", route="*.files.delete", times=None, status=500)
    lab.play(scenario=Scenario(http=(no,)))
    first = asking(lab, {"a.pdf": files["a.pdf"]}, model, None, route).run()
    stayed = left_over(lab)
    lab.play()

    second = asking(lab, {"a.pdf": files["a.pdf"]}, model, None, route).run()

    assert first.status()["completed"] == second.status()["completed"] == 3
    assert len(stayed) == 1
    assert "1 uploaded files stay" in caplog.text
    assert left_over(lab) == []


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_file_of_the_users_own_at_the_vendor_is_never_removed(
    lab: Lab, files: dict[str, Path], model: str
) -> None:
    gpt = openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url)
    claude = anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url)
    if model == GPT:
        own = gpt.files.create(file=("own.pdf", pdf()), purpose="user_data").id
    else:
        own = claude.files.upload(file=("own.pdf", pdf())).id
    batch = asking(lab, files, model, None)
    batch.add_job(file=FileId(own), prompt="What is it?", id="own")

    found = all_of(batch.run())

    assert found["own"].is_success
    assert left_over(lab) == ["own.pdf"]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_stopped_run_leaves_what_its_batches_need_and_the_next_one_uses_it(
    lab: Lab, files: dict[str, Path], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(latency_seconds=600))
    end_limits(monkeypatch, lambda: lab.ledger.batches)
    run = asking(lab, {"a.pdf": files["a.pdf"]}, model, None).add_time_limit(seconds=TOLD).run()
    stayed, made = left_over(lab), calls(lab, "files.create")
    lab.play(scenario=Scenario(clock_skew_seconds=601))

    found = all_of(asking(lab, {"a.pdf": files["a.pdf"]}, model, None).run())

    assert run.status()["completed"] == 0
    assert len(stayed) == 1
    assert {each.error for each in found.values()} == {None}
    assert calls(lab, "files.create") == made
    assert left_over(lab) == []


def test_a_live_call_that_would_be_too_large_fails_clearly_before_it_is_sent(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnthropicLive, "request_bytes", 100_000)
    (tmp_path / "a.pdf").write_bytes(pdf(1, 90_000))
    batch = lab.batch().set_route("live").set_uploads("never")
    batch.add_job(file=tmp_path / "a.pdf", prompt="What?", model=CLAUDE, id="a", max_tokens=60)
    batch.add_job(prompt="What?", model=CLAUDE, id="b", max_tokens=60)

    found = all_of(batch.run())

    assert found["a"].reason is Reason.BAD_INPUT
    assert "the vendor takes 100,000" in str(found["a"].error)
    assert 'set_uploads("auto")' in str(found["a"].error)
    assert found["b"].is_success
    assert len(lab.ledger.live) == 1


def test_files_of_a_live_call_that_would_be_too_large_are_uploaded(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnthropicLive, "request_bytes", 100_000)
    (tmp_path / "a.pdf").write_bytes(pdf(1, 90_000))
    batch = lab.batch().set_route("live")
    batch.add_job(file=tmp_path / "a.pdf", prompt="What?", model=CLAUDE, id="a", max_tokens=60)

    found = all_of(batch.run())

    assert found["a"].is_success
    assert calls(lab, "files.create") == 1
    assert left_over(lab) == []


def test_a_deleted_file_of_a_live_job_fails_it_alone(lab: Lab, tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("a.pdf", "b.pdf")}
    for name, path in paths.items():
        path.write_bytes(pdf(len(name)))

    def jobs() -> Iterator[Job]:
        for name, path in paths.items():
            yield Job(name, GPT, file=path, prompt="What?", max_tokens=60)
        paths["a.pdf"].unlink()

    found = all_of(lab.batch().set_route("live").add_jobs(jobs()).run())

    assert "can no longer be read" in str(found["a.pdf"].error)
    assert found["b.pdf"].is_success


def test_the_state_says_which_files_vendors_have(lab: Lab, files: dict[str, Path]) -> None:
    from batchata import StateManager

    asking(lab, files, GPT, "responses").run()

    state = StateManager(lab.state_file).load()
    kept = StateManager(lab.folder / "copy.db")
    kept.save(state)
    assert {each["status"] for each in state.uploads} == {"gone"}
    assert {each["purpose"] for each in state.uploads} == {"user_data", "vision"}
    assert json.loads(json.dumps(kept.load().uploads)) == state.uploads


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_estimate_tells_what_is_uploaded_and_what_goes_inside_the_requests(
    lab: Lab, tmp_path: Path, model: str
) -> None:
    for name, size in (("small.pdf", 3_000), ("shared.pdf", 300_000), ("large.pdf", 1_200_000)):
        (tmp_path / name).write_bytes(pdf(size, size))
    batch = lab.batch(items_per_batch=None).set_default_params(model=model, max_tokens=60)
    for number, name in enumerate(("small.pdf", "large.pdf", *["shared.pdf"] * 4)):
        batch.add_job(file=tmp_path / name, prompt="What is it?", id=f"q{number}")

    expected = batch.estimate()
    inline = batch.set_uploads("never").estimate()
    batch.set_uploads("auto").run()

    (request,) = requests_of(lab)
    assert (expected.uploads, expected.upload_bytes) == (2, 1_500_000)
    assert expected.size_bytes == pytest.approx(len(request), abs=2_000)
    assert (inline.uploads, inline.upload_bytes) == (0, 0)
    assert inline.size_bytes > 4 * (300_000 * 4 + 1_200_000) // 3
    assert inline.worst_case_usd == expected.worst_case_usd
    assert 0 < 2 * expected.expected_usd < expected.worst_case_usd
