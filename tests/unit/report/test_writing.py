from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_lab import Said, attachment, pdf_block, write_state

from batchata import Citation, JobStatus, Reason
from batchata.core.errors import ResultsError, StateError
from batchata.documents.pdf import create_pdf
from batchata.report import Options, write_report


class Reader(HTMLParser):
    """A report, as an HTML parser sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self._kind: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self._kind = dict(attrs).get("class") or "script"
            self.blocks.setdefault(self._kind, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._kind = None if tag == "script" else self._kind

    def handle_data(self, data: str) -> None:
        if self._kind is not None:
            self.blocks[self._kind][-1] += data

    def all(self, kind: str) -> list[Any]:
        return [each for block in self.blocks.get(kind, ()) for each in json.loads(block)]

    @property
    def summary(self) -> dict[str, Any]:
        [block] = self.blocks["summary"]
        found: dict[str, Any] = json.loads(block)
        return found


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def report(tmp_path: Path, jobs: list[Said], options: Options | None = None) -> Reader:
    state = write_state(tmp_path / "run.db", jobs, Decimal(2))
    write_report(state, tmp_path / "report.html", options)
    return read(tmp_path / "report.html")


def failed(job_id: str) -> Said:
    return Said(
        id=job_id,
        text="no",
        status=JobStatus.FAILED,
        reason=Reason.REFUSED,
        error="the model refused",
        cost_usd=Decimal("0.25"),
    )


def test_every_job_is_there_with_how_it_ended(tmp_path: Path) -> None:
    jobs = [Said(id="good"), failed("bad"), Said(id="later", status=JobStatus.PENDING)]

    page = report(tmp_path, jobs)

    names = [name for name, _ in page.summary["statuses"]]
    assert [(row[0], names[row[1]]) for row in page.all("rows")] == [
        ("good", "succeeded"),
        ("bad", "failed"),
        ("later", "pending"),
    ]
    assert [detail["id"] for detail in page.all("details")] == ["good", "bad", "later"]
    assert page.all("details")[1]["error"] == "the model refused"


def test_totals_are_those_of_the_state_file(tmp_path: Path) -> None:
    found = report(tmp_path, [Said(id="a"), failed("b")]).summary

    assert found["spent_usd"] == pytest.approx(0.2501)
    assert found["failed_usd"] == 0.25
    assert found["limit_usd"] == 2
    assert found["reasons"] == [["refused", 1]]
    assert found["latency"]["median"] == 60


def test_fields_and_their_passages_are_in_the_panel(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(create_pdf(["Total due: EUR 12"]))
    kept = attachment(path)
    cited = Citation("Total due: EUR 12", "a.pdf", 1, confidence="high", match_reason="same")

    page = report(
        tmp_path,
        [
            Said(
                id="a",
                parsed={"total": 12.5},
                blocks=[pdf_block("a.pdf", kept.marker)],
                attachments=(kept,),
                mappings={"total": [cited]},
                metadata={"folder": "march"},
            )
        ],
    )

    [detail] = page.all("details")
    assert detail["fields"] == [["total", "12.5", "number", [0]]]
    assert detail["citations"] == [["Total due: EUR 12", "a.pdf", 1, "high", "same", "found"]]
    assert detail["views"][0]["text"] == [["Total due: EUR 12", [0]]]
    assert detail["metadata"] == [["folder", "march"]]
    assert detail["files"] == ["a.pdf"]
    assert detail["question"] == "a question"
    assert len(page.blocks["picture"]) == 1


def test_files_are_left_alone_when_told_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(create_pdf(["Total due: EUR 12"]))
    kept = attachment(path)
    job = Said(
        id="a",
        blocks=[pdf_block("a.pdf", kept.marker)],
        attachments=(kept,),
        citations=[Citation("Total due: EUR 12", "a.pdf", 1)],
    )

    page = report(tmp_path, [job], Options(reads_files=False))

    assert page.all("details")[0]["views"][0]["is_quote"]


EVIL = "</script><script>alert(1)</script><!-- \u2028 & <img src=x onerror=alert(1)>"


def test_nothing_of_an_answer_is_html(tmp_path: Path) -> None:
    job = Said(
        id=EVIL,
        text=EVIL,
        parsed={EVIL: EVIL},
        metadata={EVIL: EVIL},
        citations=[Citation(EVIL, EVIL)],
        error=EVIL,
        status=JobStatus.FAILED,
        reason=Reason.UNREADABLE,
        prompt=EVIL,
    )

    page = report(tmp_path, [job], Options(title=EVIL))

    [detail] = page.all("details")
    assert (detail["id"], detail["answer"], detail["error"]) == (EVIL, EVIL, EVIL)
    assert detail["metadata"] == [[EVIL, EVIL]]
    assert "img" not in page.tags
    assert page.tags.count("script") == 4


def test_what_went_wrong_is_shown_first_when_not_all_fits(tmp_path: Path) -> None:
    jobs = [Said(id=f"good-{n}") for n in range(6)] + [failed("bad")]
    state = write_state(tmp_path / "run.db", jobs)

    written = write_report(state, tmp_path / "r.html", Options(limit=3))

    page = read(tmp_path / "r.html")
    assert [row[0] for row in page.all("rows")] == ["good-0", "good-1", "bad"]
    assert (written.results, written.left_out) == (3, 4)
    assert (page.summary["jobs"], page.summary["shown"]) == (7, 3)
    assert page.summary["latency"]["counts"] == [7]


def test_long_answers_are_short_in_the_table_and_whole_in_the_panel(tmp_path: Path) -> None:
    page = report(tmp_path, [Said(id="a", text="word " * 5_000)])

    assert len(page.all("rows")[0][8]) <= 160
    assert page.all("details")[0]["answer"] == "word " * 5_000


def test_a_run_without_jobs_has_a_report(tmp_path: Path) -> None:
    page = report(tmp_path, [])

    assert page.summary["jobs"] == 0
    assert page.all("rows") == []


def test_a_report_is_replaced_and_no_other_file_is(tmp_path: Path) -> None:
    state = write_state(tmp_path / "run.db", [Said(id="a")])
    output, other = tmp_path / "r.html", tmp_path / "mine.html"
    other.write_text("mine", encoding="utf-8")

    write_report(state, output)
    write_report(state, output, Options(title="newer"))
    with pytest.raises(ResultsError, match="not a report"):
        write_report(state, other)

    assert "<h1>newer</h1>" in output.read_text(encoding="utf-8")
    assert other.read_text(encoding="utf-8") == "mine"


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    state = write_state(tmp_path / "run.db", [Said(id="a")])
    output = tmp_path / "r.html"
    write_report(state, output)
    before = output.read_bytes()
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 100)

    with pytest.raises(StateError):
        write_report(broken, output)

    assert output.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_names_the_folder_that_is_missing(tmp_path: Path) -> None:
    state = write_state(tmp_path / "run.db", [Said(id="a")])

    with pytest.raises(ResultsError, match="no folder"):
        write_report(state, tmp_path / "nowhere" / "r.html")


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        jobs = [Said(id=f"j{n}", text="word " * 400) for n in range(count)]
        state = write_state(tmp_path / f"{count}.db", jobs)
        tracemalloc.start()
        try:
            write_report(state, tmp_path / f"{count}.html")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # imports
    small, large = peak(300), peak(1_200)

    assert large < small + 1_000_000
