from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from file_lab import docx, picture, png, xlsx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchata.core.document import Document, FileId, FileUrl, attachment_of
from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.media import context_bound, image_bound
from batchata.documents import Wanted, load_all, spliced
from batchata.documents.pdf import create_pdf
from batchata.ports import Encoded
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import OpenAICodec

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
PDF = create_pdf(["Invoice 17", "Total 12"])


def encoded(vendor: str, *sources: Any, **more: Any) -> Encoded:
    """A job about these files, in the vendor's words."""
    model = more.pop("model", MODELS[vendor])
    job = Job("a", model, prompt="What is it?", files=sources, **more)
    codec = OpenAICodec() if vendor == "openai" else AnthropicCodec()
    wanted = Wanted(
        accepts=codec.accepts,
        is_cited=job.enable_citations,
        downscale_images=job.downscale_images,
    )
    return codec.encode(job, model, load_all(sources, wanted))


def parts(found: Encoded) -> list[dict[str, Any]]:
    """What was put before the prompt."""
    body = json.loads(found.body)
    said = (body.get("messages") or body.get("input"))[-1]["content"]
    assert said[-1]["text"] == "What is it?"
    return list(said[:-1])


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_openai_chat_takes_each_kind_of_file_in_its_own_part() -> None:
    letter = docx("hi")  # once: there is a time in it
    found = encoded(
        "openai",
        ("a.pdf", PDF),
        ("b.png", png()),
        ("c.txt", b"hello"),
        ("d.docx", letter),
        FileUrl("https://a.example/x.png"),
        FileId("file-1"),
    )

    office = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    data = f"data:{office};base64,{b64(letter)}"
    assert parts(found) == [
        {
            "type": "file",
            "file": {
                "filename": "a.pdf",
                "file_data": f"data:application/pdf;base64,{b64(PDF)}",
            },
        },
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(png())}"}},
        {"type": "text", "text": '<document name="c.txt">\nhello\n</document>'},
        {"type": "file", "file": {"filename": "d.docx", "file_data": data}},
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


def test_openai_responses_take_each_kind_of_file_in_its_own_part() -> None:
    found = encoded(
        "openai",
        ("a.pdf", PDF),
        ("b.png", png()),
        ("c.txt", b"hello"),
        FileUrl("https://a.example/x.pdf"),
        FileUrl("https://a.example/x.png"),
        FileId("file-1"),
        FileId("file-2", kind="image"),
        endpoint="responses",
    )

    assert parts(found) == [
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": f"data:application/pdf;base64,{b64(PDF)}",
        },
        {
            "type": "input_image",
            "image_url": f"data:image/png;base64,{b64(png())}",
            "detail": "auto",
        },
        {"type": "input_text", "text": '<document name="c.txt">\nhello\n</document>'},
        {"type": "input_file", "file_url": "https://a.example/x.pdf"},
        {"type": "input_image", "image_url": "https://a.example/x.png", "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_image", "file_id": "file-2", "detail": "auto"},
    ]


def test_anthropic_takes_each_kind_of_file_in_its_own_block() -> None:
    found = encoded(
        "anthropic",
        ("a.pdf", PDF),
        ("b.png", png()),
        ("c.docx", docx("hello")),
        FileUrl("https://a.example/x.pdf"),
        FileUrl("https://a.example/x.png"),
        FileId("file_1", name="the bill"),
        FileId("file_2", kind="image"),
    )

    pdf = {"type": "base64", "media_type": "application/pdf", "data": b64(PDF)}
    image = {"type": "base64", "media_type": "image/png", "data": b64(png())}
    text = {"type": "text", "media_type": "text/plain", "data": "hello\n"}
    assert parts(found) == [
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "image", "source": image},
        {"type": "document", "source": text, "title": "c.docx"},
        {
            "type": "document",
            "source": {"type": "url", "url": "https://a.example/x.pdf"},
            "title": "x.pdf",
        },
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {
            "type": "document",
            "source": {"type": "file", "file_id": "file_1"},
            "title": "the bill",
        },
        {"type": "image", "source": {"type": "file", "file_id": "file_2"}},
    ]


def test_citations_are_enabled_on_every_document_and_no_image() -> None:
    found = parts(
        encoded("anthropic", ("a.pdf", PDF), ("b.txt", b"x"), png(), enable_citations=True)
    )

    assert [block.get("citations") for block in found] == [
        {"enabled": True},
        {"enabled": True},
        None,
    ]


@pytest.mark.parametrize("vendor", MODELS)
@pytest.mark.parametrize("endpoint", ["chat", "responses"])
def test_files_with_a_path_are_marked_and_join_on_the_way(
    vendor: str, endpoint: str, tmp_path: Path
) -> None:
    more = {"endpoint": endpoint} if vendor == "openai" else {}
    files = {"a.pdf": PDF, "b.png": png(), "c.txt": b"hello"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    marked = encoded(vendor, *(tmp_path / name for name in files), **more)
    inline = encoded(vendor, *files.items(), **more)

    assert [each.name for each in marked.attachments] == ["a.pdf", "b.png"]
    assert inline.attachments == ()
    assert b"".join(spliced(marked.body, marked.attachments)) == inline.body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(
        st.sampled_from(
            [
                PDF,
                create_pdf(["x"]),
                png(900, 700),
                picture("JPEG", 300, 20),
                "text €".encode(),
                docx("hi"),
            ]
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["openai", "anthropic"]),
    st.booleans(),
)
def test_the_bound_of_any_files_holds_what_the_vendor_counts(
    tmp_path: Path, datas: list[bytes], vendor: str, is_marked: bool
) -> None:
    sources: list[Any] = []
    for number, data in enumerate(datas):
        path = tmp_path / str(number)
        path.write_bytes(data)
        sources.append(path if is_marked else data)
    wanted = Wanted(accepts=(OpenAICodec() if vendor == "openai" else AnthropicCodec()).accepts)

    found = encoded(vendor, *sources)

    documents = load_all(sources, wanted)
    assert found.input_bound >= len("What is it?") + sum(formula(vendor, d) for d in documents)


def formula(vendor: str, document: Document) -> int:
    """The vendors' published arithmetic for what a file costs, at its dearest."""
    patch = 28 if vendor == "anthropic" else 32
    if document.kind == "image":
        assert document.width is not None
        assert document.height is not None
        patches = -(-document.width // patch) * -(-document.height // patch)
        return min(patches, 4_784) if vendor == "anthropic" else patches
    if document.kind == "pdf":
        text = len(b"Invoice 17Total 12")
        return (document.pages or 0) * (4_784 if vendor == "anthropic" else 1_536) + text
    return len((document.text or "hi").encode())


def test_bytes_and_path_have_the_same_bound_within_the_marker(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(640, 320))

    marked = encoded("openai", path)
    inline = encoded("openai", ("a.png", png(640, 320)))

    assert abs(marked.input_bound - inline.input_bound) < 100
    side = image_bound("openai", size=(640, 320))
    assert side <= marked.input_bound < side + 1_000


def test_two_files_of_one_name_are_bounded_by_the_larger() -> None:
    small = Document(
        name="a.pdf", media_type="application/pdf", kind="pdf", size_bytes=9, sha256="1", pages=1
    )
    large = replace(small, sha256="2", pages=20)
    codec, job = AnthropicCodec(), Job("a", "m", prompt="x", file="a.pdf")

    both = codec.encode(job, "claude-haiku-5-5", [small, large])
    one = codec.encode(job, "claude-haiku-5-5", [large])

    assert both.input_bound > one.input_bound


@pytest.mark.parametrize(
    ("vendor", "source"),
    [
        ("openai", FileId("file-1")),
        ("anthropic", FileUrl("https://a.example/x.pdf")),
        ("anthropic", FileId("file_1")),
    ],
)
def test_a_file_nothing_is_known_of_reserves_a_whole_context(vendor: str, source: Any) -> None:
    assert encoded(vendor, source).input_bound >= context_bound(vendor)


def test_a_workbook_is_bounded_by_its_cells(tmp_path: Path) -> None:
    rows = [["a long shared text " * 20, 5]] * 200

    found = encoded("openai", ("a.xlsx", xlsx(rows)))

    text = sum(len(str(cell)) for row in rows for cell in row)
    assert text < found.input_bound < 10 * text


def bare(**facts: Any) -> Document:
    values = {"name": "big.pdf", "media_type": "application/pdf", "kind": "pdf", "sha256": "0" * 64}
    return Document(**{**values, "size_bytes": 1_000, "path": "/big.pdf", **facts})


def image(**facts: Any) -> Document:
    values = {"name": "big.png", "media_type": "image/png", "kind": "image"}
    return bare(**{**values, "width": 10, "height": 10, **facts})


@pytest.mark.parametrize(
    ("vendor", "model", "documents", "what"),
    [
        ("anthropic", "claude-haiku-5-5", [bare(pages=601)], "'big.pdf' has 601 pages"),
        ("anthropic", "claude-haiku-5-5", [bare(pages=301)] * 2, r"\(602 in this job\)"),
        ("anthropic", "claude-haiku-4-5", [bare(pages=101)], "takes 100 pages"),
        ("anthropic", "claude-haiku-5-5", [bare(size_bytes=500_000_001)], "500,000,001 bytes"),
        ("anthropic", "claude-haiku-5-5", [image()] * 601, "601 images"),
        ("anthropic", "claude-haiku-5-5", [image(width=8_001)], "8001 x 10 pixels"),
        ("anthropic", "claude-haiku-5-5", [image(height=2_001)] * 21, "more than 20 images"),
        ("anthropic", "claude-haiku-5-5", [image(size_bytes=8_000_000)], "10,666,668 bytes in"),
        ("anthropic", "claude-haiku-5-5", [bare(kind="office", file_id="f")], "an Office file"),
        ("openai", "gpt-6-luna", [bare(size_bytes=60_000_000)], "'big.pdf' has 60,000,000 bytes"),
        ("openai", "gpt-6-luna", [bare(size_bytes=30_000_000)] * 2, "60,000,000 bytes together"),
        ("openai", "gpt-6-luna", [image(size_bytes=60_000_000)], "'big.png' has 60,000,000"),
        ("openai", "gpt-6-luna", [image()] * 1_501, "1501 images"),
        ("openai", "gpt-6-luna", [image(file_id="f")], "an image by its id"),
        ("openai", "gpt-6-luna", [bare(url="https://a.example")], "a file by its address"),
        ("openai", "text-embedding-3-small", [bare()], "makes embeddings"),
    ],
)
def test_what_the_vendor_would_refuse_is_an_error_before_anything_is_sent(
    vendor: str, model: str, documents: list[Document], what: str
) -> None:
    codec = OpenAICodec() if vendor == "openai" else AnthropicCodec()

    with pytest.raises(ValidationError, match=what) as caught:
        codec.encode(Job("a", model, prompt="x", file="big"), model, documents)

    assert caught.value.hint


def test_at_the_limits_everything_is_taken() -> None:
    codec = AnthropicCodec()
    job = Job("a", "m", prompt="x", file="big")

    codec.encode(job, "claude-haiku-5-5", [bare(pages=600)])
    codec.encode(job, "claude-haiku-4-5", [bare(pages=100)])
    codec.encode(job, "claude-haiku-5-5", [image(width=8_000, height=8_000)])
    codec.encode(job, "claude-haiku-5-5", [image(width=2_000)] * 21)


def test_a_picture_of_too_many_pixels_is_refused_or_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(10_000, 600))

    with pytest.raises(ValidationError, match=r"'huge\.png' is 10000 x 600 pixels"):
        encoded("anthropic", path)

    (block,) = parts(encoded("anthropic", path, downscale_images=True))
    assert block["source"]["data"].startswith("iVBOR")


def test_only_files_on_disk_are_attached() -> None:
    assert attachment_of(bare()) is not None
    assert attachment_of(bare(path=None, data=b"x")) is None
    assert attachment_of(bare(kind="text", text="x")) is None
