"""Files of both vendors, in requests and uploaded, through the real SDKs."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import FileExpiredError
from file_lab import docx, encrypted_pdf, picture, png
from sandbox_lab import Lab

from batchata.documents.pdf import create_pdf

PDF = create_pdf(["Invoice INV-17 of Acme Corp", "Total due: 1,200.50 EUR\nThank you"])
TEXT = {"type": "text", "text": "What is it?"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def inline(data: bytes, media: str = "application/pdf", **more: Any) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media, "data": b64(data)}
    kind = "image" if media.startswith("image/") else "document"
    return {"type": kind, "source": source, **more}


def named(file_id: str, kind: str = "document") -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": file_id}}


def ask(lab: Lab, *blocks: Any, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": [*blocks, TEXT]}]
    return lab.anthropic.messages.create(
        model=lab.claude, max_tokens=500, messages=messages, **more
    )


def refusal(lab: Lab, *blocks: Any) -> str:
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(lab, *blocks)
    return str(caught.value)


def chat(lab: Lab, *parts: Any) -> Any:
    messages: Any = [{"role": "user", "content": [*parts, TEXT]}]
    return lab.openai.chat.completions.create(model=lab.model, messages=messages)


def chat_refusal(lab: Lab, *parts: Any) -> str:
    with pytest.raises(openai.APIStatusError) as caught:
        chat(lab, *parts)
    return str(caught.value)


def file_part(data: str) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_an_upload_is_listed_shown_and_removed(lab: Lab) -> None:
    made = [
        lab.anthropic.files.upload(file=(f"{n}.pdf", PDF), expires_in_seconds=7_200)
        for n in range(25)
    ]

    assert (made[0].filename, made[0].mime_type, made[0].size_bytes) == (
        "0.pdf",
        "application/pdf",
        len(PDF),
    )
    assert (made[0].expires_at.timestamp() - made[0].created_at.timestamp()) == 7_200  # type: ignore[union-attr]
    assert [file.id for file in lab.anthropic.files.list()] == [m.id for m in reversed(made)]
    assert [file.id for file in lab.anthropic.files.list(ids=[made[3].id, "file_no"])] == [
        made[3].id
    ]
    assert lab.anthropic.files.retrieve_metadata(made[0].id) == made[0]
    with pytest.raises(anthropic.BadRequestError, match="not downloadable"):
        lab.anthropic.files.download(made[0].id)
    assert lab.anthropic.files.delete(made[0].id).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError):
        lab.anthropic.files.retrieve_metadata(made[0].id)
    assert lab.openai.files.list().data == []


@pytest.mark.parametrize("seconds", [3_599, 7_776_001])
def test_a_lifetime_out_of_range_is_refused(lab: Lab, seconds: int) -> None:
    with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
        lab.anthropic.files.upload(file=("a.pdf", PDF), expires_in_seconds=seconds)


def test_an_empty_upload_is_refused(lab: Lab) -> None:
    with pytest.raises(anthropic.BadRequestError, match="empty"):
        lab.anthropic.files.upload(file=("a.pdf", b""))


def test_an_upload_is_named_in_requests_until_it_expires(lab: Lab) -> None:
    pdf = lab.anthropic.files.upload(file=("a.pdf", PDF), expires_in_seconds=3_600)
    image = lab.anthropic.files.upload(file=("a.png", png()))

    ask(lab, named(pdf.id), named(image.id, "image"))
    lab.clock.now += 3_601
    with pytest.raises(FileExpiredError) as caught:
        ask(lab, named(pdf.id))

    assert caught.value.status_code == 404
    assert caught.value.error_code == "file_expired"
    ask(lab, named(image.id, "image"))
    assert "File not found: file_no" in refusal(lab, named("file_no"))
    assert "not supported in a document block" in refusal(lab, named(image.id))


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ({"type": "document"}, "source: Field required"),
        ({"type": "image", "source": {"type": "text", "data": "x"}}, "Input tag 'text'"),
        ({"type": "document", "source": {"type": "ftp"}}, "Input tag 'ftp'"),
        (inline(docx("x"), "application/msword"), "media_type: Input should be 'application/pdf'"),
        (inline(png(), "image/bmp"), "Input should be 'image/jpeg' or 'image/png'"),
        (inline(b""), "Invalid base64 data"),
        (inline(b"%PDF-1.7 broken"), "The PDF specified was not valid"),
        (inline(encrypted_pdf("x")), "password protected"),
        (inline(create_pdf(["x"] * 601)), "A maximum of 600 PDF pages"),
        (inline(picture("JPEG"), "image/png"), "does not match the provided media type"),
        (inline(png(8_001, 1), "image/png"), "max allowed size: 8000 pixels"),
        ({"type": "document", "source": {"type": "url", "url": "ftp://a"}}, "Only HTTPS URLs"),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/html"}},
            "Input should be 'text/plain'",
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": " "},
            },
            "must be non-empty",
        ),
    ],
)
def test_a_block_that_cannot_be_read_is_refused(lab: Lab, block: Any, what: str) -> None:
    assert what in refusal(lab, block)


def test_base64_is_read_to_the_letter(lab: Lab) -> None:
    broken = inline(PDF)
    broken["source"]["data"] = "\ue000batchata-file:abc\ue001"

    assert "Invalid base64 data" in refusal(lab, broken)


def test_many_images_must_each_be_smaller(lab: Lab) -> None:
    large = inline(png(2_001, 5), "image/png")

    ask(lab, *[large] * 20)
    assert "2000 pixels" in refusal(lab, *[large] * 21)


def test_an_item_of_a_batch_is_refused_alone_for_its_file(lab: Lab) -> None:
    def item(name: str, block: Any) -> Any:
        messages = [{"role": "user", "content": [block, TEXT]}]
        return {
            "custom_id": name,
            "params": {"model": lab.claude, "max_tokens": 50, "messages": messages},
        }

    batch = lab.anthropic.messages.batches.create(
        requests=[item("good", inline(PDF)), item("bad", named("file_no"))]
    )
    lab.claude_poll(batch)

    raw = lab.claude_raw(batch)
    assert b'"good","result":{"type":"succeeded"' in raw
    assert b'"bad","result":{"type":"errored"' in raw
    assert b"File not found: file_no" in raw


CITED = {"citations": {"enabled": True}, "title": "a.pdf"}
REPLY = "The invoice number is INV-17.\nI read it with care.\nThe total is 1,200.50 EUR.\n"


def cited(lab: Lab, *blocks: Any) -> list[tuple[str, Any]]:
    lab.play(replies={"What is it?": REPLY})
    answer = ask(lab, *blocks)
    assert "".join(block.text for block in answer.content) == REPLY
    return [(block.text, block.citations) for block in answer.content]


@pytest.mark.parametrize("way", ["inline", "uploaded"])
def test_an_answer_quotes_the_page_its_words_are_on(lab: Lab, way: str) -> None:
    block = inline(PDF, **CITED)
    if way == "uploaded":
        block = {**named(lab.anthropic.files.upload(file=("a.pdf", PDF)).id), **CITED}

    (first, one), (second, none), (third, two) = cited(lab, block)

    assert (first, second, third) == tuple(REPLY.splitlines(keepends=True))
    assert none is None
    assert one[0].type == two[0].type == "page_location"
    assert (one[0].cited_text, one[0].start_page_number, one[0].end_page_number) == (
        "Invoice INV-17 of Acme Corp",
        1,
        2,
    )
    assert (two[0].cited_text, two[0].start_page_number) == ("Total due: 1,200.50 EUR", 2)
    assert (two[0].document_index, two[0].document_title) == (0, "a.pdf")


def test_an_answer_quotes_the_characters_of_a_text_and_the_block_of_a_list(lab: Lab) -> None:
    text = "Acme Corp\n  Invoice INV-17\nTotal 1,200.50 EUR"
    plain = {"type": "text", "media_type": "text/plain", "data": text}
    pieces = {"type": "content", "content": [{"type": "text", "text": t} for t in text.split("\n")]}

    by_text = cited(lab, {"type": "document", "source": plain, **CITED})[2][1][0]
    by_block = cited(lab, {"type": "document", "source": pieces, **CITED})[2][1][0]

    assert by_text.type == "char_location"
    assert text[by_text.start_char_index : by_text.end_char_index] == by_text.cited_text
    assert by_text.cited_text == "Total 1,200.50 EUR"
    assert (by_block.type, by_block.start_block_index) == ("content_block_location", 2)


def test_the_right_one_of_several_documents_is_quoted(lab: Lab) -> None:
    other = {**inline(create_pdf(["Nothing of interest"])), **CITED}

    found = cited(lab, other, inline(PDF, **CITED))

    assert found[0][1][0].document_index == 1


def test_an_answer_without_a_shared_word_still_has_a_citation(lab: Lab) -> None:
    answer = ask(lab, inline(PDF, **CITED))

    quoted = [each for block in answer.content for each in block.citations or ()]
    assert quoted[0].cited_text in "Invoice INV-17 of Acme Corp"


def test_openai_takes_files_and_images_inline_by_address_and_by_id(lab: Lab) -> None:
    pdf = lab.openai.files.create(file=("a.pdf", PDF), purpose="user_data").id
    image = lab.openai.files.create(file=("a.png", png()), purpose="vision").id

    chat(
        lab,
        file_part(f"data:application/pdf;base64,{b64(PDF)}"),
        image_part(f"data:image/png;base64,{b64(png())}"),
        image_part("https://a.example/x.png"),
        {"type": "file", "file": {"file_id": pdf}},
    )
    content: Any = [
        {"type": "input_file", "file_id": pdf},
        {"type": "input_file", "file_url": "https://a.example/x.pdf"},
        {"type": "input_image", "file_id": image, "detail": "auto"},
        {"type": "input_text", "text": "x"},
    ]
    answer = lab.openai.responses.create(
        model=lab.model, input=[{"role": "user", "content": content}]
    )
    assert answer.status == "completed"


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ({"type": "file", "file": {"file_id": "file-no"}}, "No such File object: file-no"),
        ({"type": "file", "file": {}}, "Missing required parameter"),
        (file_part("JVBERi0="), "Expected a base64-encoded data URL"),
        (file_part("data:application/pdf;base64,\ue000x\ue001"), "Expected a base64-encoded"),
        (file_part(f"data:application/pdf;base64,{b64(b'%PDF-x')}"), "not a valid PDF"),
        (image_part("a.png"), "Expected a valid URL or a base64-encoded data URL"),
        (image_part(f"data:image/bmp;base64,{b64(png())}"), "unsupported image"),
        (image_part(f"data:image/jpeg;base64,{b64(png())}"), "unsupported image"),
    ],
)
def test_openai_refuses_a_part_that_cannot_be_read(lab: Lab, part: Any, what: str) -> None:
    assert what in chat_refusal(lab, part)


def test_openai_refuses_a_file_of_another_purpose_or_that_has_expired(lab: Lab) -> None:
    batch = lab.upload([lab.chat_line("a")])
    short = lab.openai.files.create(
        file=("a.pdf", PDF),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    ).id

    assert "purpose 'batch'" in chat_refusal(lab, {"type": "file", "file": {"file_id": batch}})
    lab.clock.now += 3_601
    assert "No such File" in chat_refusal(lab, {"type": "file", "file": {"file_id": short}})


def test_a_field_of_an_upload_that_is_too_long_is_refused_before_it_fills_the_memory(
    lab: Lab,
) -> None:
    purpose: Any = "x" * 100_000

    with pytest.raises(openai.BadRequestError, match="'purpose' is too long"):
        lab.openai.files.create(file=("in.jsonl", b"{}"), purpose=purpose)
