from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_lab import attachment, pdf_block, text_block

from batchata.core.request_content import RequestContent, Source, content_of
from batchata.documents.pdf import create_pdf


def body(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def test_reads_text_documents_and_the_question_of_an_anthropic_body() -> None:
    asked = content_of(body(text_block("a.txt", "words"), {"type": "text", "text": "what?"}))

    assert asked == RequestContent("what?", (Source(name="a.txt", text="words"),))


@pytest.mark.parametrize(
    "made",
    [
        {"messages": [{"role": "user", "content": "what?"}]},
        {"input": "what?"},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "what?"}]}]},
        {
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "what?"},
            ]
        },
    ],
)
def test_finds_the_question_whatever_the_endpoint(made: dict[str, Any]) -> None:
    assert content_of(made).question == "what?"


@pytest.mark.parametrize("kind", ["text", "input_text"])
def test_knows_a_labelled_document_of_openai(kind: str) -> None:
    text = '<document name="a.txt">\nline 1\nline 2\n</document>'

    assert content_of(body({"type": kind, "text": text})).sources == (
        Source(name="a.txt", text="line 1\nline 2"),
    )


def test_reads_pdfs_that_are_in_the_body() -> None:
    data = create_pdf(["page"])
    encoded = pdf_block("a.pdf", data)["source"]["data"]
    url = f"data:application/pdf;base64,{encoded}"

    made = body(
        pdf_block("a.pdf", data),
        {"type": "file", "file": {"filename": "b.pdf", "file_data": url}},
        {"type": "input_file", "filename": "c.pdf", "file_data": url},
    )

    assert [(source.name, source.data) for source in content_of(made).sources] == [
        ("a.pdf", data),
        ("b.pdf", data),
        ("c.pdf", data),
    ]


def test_finds_the_file_behind_a_marker(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(create_pdf(["page"]))
    kept = attachment(path)

    [source] = content_of(body(pdf_block("a.pdf", kept.marker)), [kept]).sources

    assert (source.path, source.sha256) == (str(path), kept.sha256)


def test_counts_documents_that_cannot_be_read() -> None:
    away = {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}

    asked = content_of(body(away, text_block("b", "words")))

    assert [source.name for source in asked.sources] == ["https://x/y.pdf", "b"]
    assert not asked.sources[0].is_pdf


@pytest.mark.parametrize(
    "made",
    [
        None,
        [],
        "text",
        {},
        {"messages": None},
        {"messages": [None, 3, {"content": None}, {"role": "user", "content": [None, 4]}]},
        {"messages": [{"role": "user", "content": [{"type": "document"}, {"type": "file"}]}]},
        {"input": [[1, 2], 3]},
        body(pdf_block("a", "not base64 at all!")),
        body({"type": "document", "source": {"type": "content", "content": [None, {"text": 1}]}}),
    ],
)
def test_takes_any_json(made: Any) -> None:
    assert isinstance(content_of(made), RequestContent)
