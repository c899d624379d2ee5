"""Files of every kind, good and bad, through whole runs against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from file_lab import HTML, docx, encrypted_pdf, picture, png, xlsx
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, MODELS, Lab, all_of, cost_of

from batchata import FileId, FileUrl, Job, JobStatus, Reason
from batchata.core.errors import StateError
from batchata.core.events import Durable, OutcomesRecorded
from batchata.documents.pdf import create_pdf
from batchata.engine.context import RunContext
from batchata.gateway import Scenario

PDF = create_pdf(["Invoice INV-17 of Acme Corp", "Total due: 1,200.50 EUR"])
GOOD: dict[str, bytes] = {
    "bill.pdf": PDF,
    "photo.png": png(),
    "photo.jpg": picture("JPEG"),
    "photo.gif": picture("GIF"),
    "photo.webp": picture("WEBP"),
    "note.txt": "Größe in m²".encode("cp1252"),
    "wide.txt": "A note".encode("utf-16"),
    "list.csv": b"a,b\n1,2\n",
    "page.html": HTML,
    "letter.docx": docx("Dear Sir"),
    "sheet.xlsx": xlsx([["name", "price"], ["tea", 2.5]]),
}
BAD: dict[str, tuple[bytes, str]] = {
    "empty.pdf": (b"", "is empty"),
    "locked.pdf": (encrypted_pdf("x"), "is encrypted"),
    "cut.pdf": (create_pdf(["x"] * 30)[:900], "damaged"),
    "page.pdf": (HTML, "is an HTML page"),
    "cut.png": (png(50, 50)[:60], "cut off"),
    "program.bin": (b"\x7fELF\0\1\2", "unknown kind"),
    "broken.docx": (docx("x")[:200], "damaged"),
}


def written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def sent(lab: Lab) -> list[dict[str, Any]]:
    """The bodies of everything that reached a vendor."""
    bodies: list[dict[str, Any]] = []
    for path in sorted((lab.out / "raw_files" / "requests").iterdir()):
        if path.suffix == ".json":
            bodies += [each["params"] for each in json.loads(path.read_bytes())["requests"]]
        else:
            bodies += [json.loads(line)["body"] for line in path.read_bytes().splitlines()]
    return bodies


@pytest.mark.parametrize(("model", "endpoint"), [(GPT, None), (GPT, "responses"), (CLAUDE, None)])
def test_every_kind_of_file_is_answered_at_no_more_than_its_reservation(
    lab: Lab, tmp_path: Path, model: str, endpoint: str | None
) -> None:
    batch = lab.batch(items_per_batch=4).set_default_params(model=model, max_tokens=60)
    if endpoint:
        batch.set_default_params(endpoint=endpoint)
    for name, path in written(tmp_path, GOOD).items():
        batch.add_job(file=path, prompt="What is it?", id=name)
    batch.add_job(files=[*(tmp_path / name for name in GOOD)], prompt="All of it?", id="all")
    batch.add_job(files=[PDF, ("b.txt", b"hello")], prompt="And this?", id="bytes")

    run = batch.run()

    found = all_of(run)
    assert {each.error for each in found.values()} == {None}
    assert len(found) == len(GOOD) + 2
    assert lab.billed_usd == cost_of(found.values())
    assert "batchata-file" not in json.dumps(sent(lab))


@pytest.mark.parametrize("model", MODELS.values())
def test_a_bad_file_fails_its_job_alone_and_is_named(lab: Lab, tmp_path: Path, model: str) -> None:
    files = {**{name: data for name, (data, _) in BAD.items()}, "bill.pdf": PDF}
    batch = lab.batch().set_default_params(model=model, max_tokens=60)
    for name, path in written(tmp_path, files).items():
        batch.add_job(file=path, prompt="What is it?", id=name)
    batch.add_job(file=tmp_path / "gone.pdf", prompt="What is it?", id="gone.pdf")
    batch.add_job(file=tmp_path, prompt="What is it?", id="folder")

    found = all_of(batch.run())

    assert found["bill.pdf"].is_success
    assert found["gone.pdf"].error is not None
    assert "does not exist" in found["gone.pdf"].error
    assert "is a folder" in str(found["folder"].error)
    for name, (_, what) in BAD.items():
        assert found[name].status is JobStatus.FAILED
        assert found[name].reason is Reason.BAD_INPUT
        assert what in str(found[name].error)
        assert name in str(found[name].error)
        assert "hint:" in str(found[name].error)


@pytest.mark.parametrize("model", MODELS.values())
@pytest.mark.parametrize("change", ["deleted", "changed"])
def test_a_file_that_changes_between_adding_and_sending_fails_its_job_alone(
    lab: Lab, tmp_path: Path, model: str, change: str
) -> None:
    paths = written(tmp_path, {"a.pdf": PDF, "b.pdf": PDF + b"\n", "c.png": png()})

    def jobs() -> Iterator[Job]:
        for name, path in paths.items():
            yield Job(name, model, file=path, prompt="What is it?", max_tokens=60)
        if change == "deleted":
            paths["b.pdf"].unlink()
        else:
            paths["b.pdf"].write_bytes(PDF + b" ")

    found = all_of(lab.batch().add_jobs(jobs()).run())

    assert [name for name, each in found.items() if not each.is_success] == ["b.pdf"]
    assert "b.pdf" in str(found["b.pdf"].error)
    assert found["b.pdf"].reason is Reason.BAD_INPUT


def test_a_request_file_has_its_name_when_the_jobs_that_are_not_in_it_are_written_down(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = written(tmp_path, {"a.pdf": PDF, "b.pdf": PDF + b"\n"})
    record = RunContext.record

    def jobs() -> Iterator[Job]:
        for name, path in paths.items():
            yield Job(name, CLAUDE, file=path, prompt="What is it?", max_tokens=60)
        paths["b.pdf"].unlink()

    def full(context: RunContext, *events: Durable) -> None:
        if any(isinstance(each, OutcomesRecorded) for each in events):
            raise StateError("the disk is full")
        record(context, *events)

    monkeypatch.setattr(RunContext, "record", full)
    with pytest.raises(StateError, match="full"):
        lab.batch().add_jobs(jobs()).run()

    assert not list((lab.out / "raw_files" / "requests").iterdir())


def test_two_thousand_pages_are_refused_by_name_or_answered(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(create_pdf(["page"] * 2_000))
    batch = lab.batch()
    batch.add_job(file=path, prompt="What is it?", model=GPT, max_tokens=60, id="gpt")
    batch.add_job(file=path, prompt="What is it?", model=CLAUDE, max_tokens=60, id="claude")

    found = all_of(batch.run())

    assert found["gpt"].is_success
    assert "'book.pdf' has 2000 pages" in str(found["claude"].error)


def test_a_picture_of_sixty_megapixels_is_refused_by_name_or_made_smaller(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(10_000, 6_000))
    batch = lab.batch().set_default_params(model=CLAUDE, max_tokens=60)
    batch.add_job(file=path, prompt="What is it?", id="as it is")
    batch.add_job(file=path, prompt="What is it?", id="smaller", downscale_images=True)

    found = all_of(batch.run())

    assert "10000 x 6000 pixels" in str(found["as it is"].error)
    assert found["smaller"].is_success


def test_files_the_vendor_has_or_fetches_are_named_and_one_unknown_fails_alone(lab: Lab) -> None:
    claude = anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url)
    gpt = openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url)
    at_claude = claude.files.upload(file=("bill.pdf", PDF)).id
    at_gpt = gpt.files.create(file=("bill.pdf", PDF), purpose="user_data").id
    batch = lab.batch().set_default_params(max_tokens=60)
    for name, model, source in [
        ("claude", CLAUDE, FileId(at_claude, name="bill")),
        ("claude-url", CLAUDE, "https://a.example/bill.pdf"),
        ("gpt", GPT, FileId(at_gpt)),
        ("gpt-image", GPT, FileUrl("https://a.example/view", kind="image")),
        ("claude-no", CLAUDE, FileId("file_no")),
        ("gpt-no", GPT, FileId("file-no")),
    ]:
        batch.add_job(file=source, prompt="What is it?", model=model, id=name)

    found = all_of(batch.run())

    assert sorted(name for name, each in found.items() if not each.is_success) == [
        "claude-no",
        "gpt-no",
    ]
    assert "File not found: file_no" in str(found["claude-no"].error)
    assert "No such File object: file-no" in str(found["gpt-no"].error)


@pytest.mark.parametrize("name", ["bill.pdf", "bill.txt", "bill.docx"])
def test_a_cited_answer_says_where_its_words_are(lab: Lab, tmp_path: Path, name: str) -> None:
    text = "Invoice INV-17 of Acme Corp"
    data = {"bill.pdf": PDF, "bill.txt": text.encode(), "bill.docx": docx(text)}[name]
    path = written(tmp_path, {name: data})[name]
    lab.play(scenario=Scenario(replies={"Which invoice?": "The number is INV-17.\nThat is all."}))
    batch = lab.batch()
    batch.add_job(file=path, prompt="Which invoice?", model=CLAUDE, enable_citations=True, id="a")

    found = all_of(batch.run())["a"]

    assert found.citations is not None
    (cited,) = found.citations
    assert (cited.text, cited.source) == (text, name)
    assert cited.page == (1 if name == "bill.pdf" else None)


def test_a_scan_is_refused_where_citations_are_asked_and_answered_where_not(
    lab: Lab, tmp_path: Path
) -> None:
    path = written(tmp_path, {"scan.pdf": create_pdf(["", ""])})["scan.pdf"]
    batch = lab.batch().set_default_params(model=CLAUDE, max_tokens=60)
    batch.add_job(file=path, prompt="What is it?", id="cited", enable_citations=True)
    batch.add_job(file=path, prompt="What is it?", id="plain")

    found = all_of(batch.run())

    assert "'scan.pdf' has no text layer" in str(found["cited"].error)
    assert found["plain"].is_success


class Bill(BaseModel):
    number: str
    total: float


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (GPT, {"structured": "tool"}),
        (GPT, {"structured": "tool", "endpoint": "responses"}),
        (CLAUDE, {"structured": "tool"}),
        ("claude-sonnet-4-20250514", {}),
    ],
)
def test_an_answer_through_a_tool_is_the_response_model(
    lab: Lab, model: str, more: dict[str, Any]
) -> None:
    batch = lab.batch().add_job(prompt="Read it.", model=model, response_model=Bill, id="a", **more)

    found = all_of(batch.run())["a"]

    assert isinstance(found.parsed_response, Bill), found.error
    assert found.finish_reason == "stop"


@pytest.mark.parametrize("model", MODELS.values())
@pytest.mark.parametrize(
    ("reply", "what"),
    [
        ('{"number": "A1", "total": NaN}', "it is no JSON"),
        ('{"number": "A1"}', "total: Field required"),
        ("x" * 10_000_000, "it is no JSON"),
    ],
    ids=["nan", "missing", "ten-megabytes"],
)
def test_an_answer_that_cannot_be_used_is_kept_with_the_reason(
    lab: Lab, model: str, reply: str, what: str
) -> None:
    lab.play(scenario=Scenario(replies={"Read it.": reply}))
    batch = lab.batch(results_dir=None if len(reply) > 1_000 else "out")
    batch.set_state(lab.folder / "state.db")
    batch.add_job(
        prompt="Read it.",
        model=model,
        structured="prompt",
        response_model=Bill,
        id="a",
        max_tokens=4_000_000,
    )

    found = all_of(batch.run())["a"]

    assert (found.status, found.reason) == (JobStatus.FAILED, Reason.INVALID_ANSWER)
    assert what in str(found.error)
    assert len(str(found.error)) < 500
    assert found.raw_response == reply


NO_NUMBER: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ('{"number": "A1", "total": NaN}', {"model": GPT}),
    "infinite": ('{"number": "A1", "total": Infinity}', {"model": CLAUDE}),
    "cited": ("number: A1\ntotal: NaN", {"model": CLAUDE, "enable_citations": True}),
    "quoted": (
        '{"answer": {"number": "A1", "total": NaN}, "quotes": {"number": "A1", "total": "1"}}',
        {"model": GPT, "verify_quotes": True},
    ),
}


@pytest.mark.parametrize(("reply", "job"), NO_NUMBER.values(), ids=NO_NUMBER)
def test_what_is_no_number_fails_its_job_however_it_was_asked_for(
    lab: Lab, reply: str, job: dict[str, Any]
) -> None:
    lab.play(scenario=Scenario(replies={"Read it.": reply}))
    batch = lab.batch().set_default_params(response_model=Bill, max_tokens=200)
    batch.add_job(file=("a.pdf", PDF), prompt="Read it.", id="a", **job)

    found = all_of(batch.run())["a"]

    assert (found.status, found.reason) == (JobStatus.FAILED, Reason.INVALID_ANSWER)
    assert found.raw_response == reply
    assert found.cost_usd > 0


def test_an_answer_of_ten_megabytes_is_read(lab: Lab) -> None:
    reply = json.dumps({"number": "x" * 10_000_000, "total": 1})
    lab.play(scenario=Scenario(replies={"Read it.": reply}))
    batch = lab.batch().add_job(
        prompt="Read it.",
        model=GPT,
        structured="prompt",
        response_model=Bill,
        id="a",
        max_tokens=4_000_000,
    )

    found = all_of(batch.run())["a"]

    assert isinstance(found.parsed_response, Bill)
    assert len(found.parsed_response.number) == 10_000_000


def test_what_was_repaired_is_said_with_the_result(lab: Lab) -> None:
    reply = '```json\n{"number": "A1", "total": 12.10}\n```'
    lab.play(scenario=Scenario(replies={"Read it.": reply}))
    batch = lab.batch().add_job(
        prompt="Read it.", model=GPT, structured="prompt", response_model=Bill, id="a"
    )

    found = all_of(batch.run())["a"]

    assert found.parsed_response == Bill(number="A1", total=12.10)
    assert found.extra is not None
    assert "code fence" in found.extra["repaired"][0]
