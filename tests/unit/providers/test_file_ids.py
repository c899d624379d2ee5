from __future__ import annotations

import json
from pathlib import Path

import pytest
from file_lab import png

from batchata.core.job import Job
from batchata.documents import Wanted, load_all
from batchata.documents.pdf import create_pdf
from batchata.ports import Encoded
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.file_ids import with_file_ids
from batchata.providers.openai.codec import OpenAICodec


def encoded(folder: Path, model: str, **more: str) -> Encoded:
    (folder / "a.pdf").write_bytes(create_pdf(["x"]))
    (folder / "b.png").write_bytes(png())
    sources = (folder / "a.pdf", folder / "b.png", folder / "a.pdf")
    codec = AnthropicCodec() if model.startswith("claude") else OpenAICodec()
    job = Job("a", model, prompt="What is it?", files=sources, **more)  # type: ignore[arg-type]
    return codec.encode(job, model, load_all(sources, Wanted(accepts=codec.accepts)))


@pytest.mark.parametrize(
    ("model", "more", "blocks"),
    [
        (
            "claude-haiku-5-5",
            {},
            [
                {
                    "type": "document",
                    "source": {"type": "file", "file_id": "id-a.pdf"},
                    "title": "a.pdf",
                },
                {"type": "image", "source": {"type": "file", "file_id": "id-b.png"}},
                {
                    "type": "document",
                    "source": {"type": "file", "file_id": "id-a.pdf"},
                    "title": "a (2).pdf",
                },
            ],
        ),
        (
            "gpt-6-luna",
            {"endpoint": "responses"},
            [
                {"type": "input_file", "file_id": "id-a.pdf"},
                {"type": "input_image", "detail": "auto", "file_id": "id-b.png"},
                {"type": "input_file", "file_id": "id-a.pdf"},
            ],
        ),
    ],
)
def test_a_marked_file_that_was_uploaded_is_named_by_its_id(
    tmp_path: Path, model: str, more: dict[str, str], blocks: list[object]
) -> None:
    found = encoded(tmp_path, model, **more)

    body = json.loads(
        with_file_ids(found.body, {each.marker: f"id-{each.name}" for each in found.attachments})
    )

    content = (body.get("messages") or body.get("input"))[0]["content"]
    assert content[:-1] == blocks
    assert content[-1]["text"] == "What is it?"


def test_a_chat_names_files_by_id_and_keeps_its_images_marked(tmp_path: Path) -> None:
    found = encoded(tmp_path, "gpt-6-luna")
    pdf, image = found.attachments

    body = with_file_ids(found.body, {pdf.marker: "id-1", image.marker: "id-2"})

    one, two, _, _ = json.loads(body)["messages"][0]["content"]
    assert one == {"type": "file", "file": {"file_id": "id-1"}}
    assert two["image_url"]["url"].endswith(image.marker)


def test_what_is_not_uploaded_stays_marked(tmp_path: Path) -> None:
    found = encoded(tmp_path, "claude-haiku-5-5")

    assert with_file_ids(found.body, {}) == found.body
