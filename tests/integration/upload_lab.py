"""Questions about files that are uploaded, and what lies at the vendors because of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
from file_lab import docx, png
from run_lab import Lab

from batchata import Batch
from batchata.documents.pdf import create_pdf
from batchata.stores.sqlite import SQLiteStore


def left_over(lab: Lab) -> list[str]:
    """Names of the uploads that lie at the vendors, batches' own files apart."""
    gpt = openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url)
    claude = anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url)
    names = [each.filename for each in gpt.files.list() if not each.purpose.startswith("batch")]
    return names + [each.filename for each in claude.files.list()]


def calls(lab: Lab, route: str) -> int:
    """How often a route was asked."""
    return sum(request.route.endswith(route) for request in lab.box.requests)


def pdf(number: int = 0, size_bytes: int = 0) -> bytes:
    """A PDF of one page, filled up to a size."""
    made = create_pdf([f"Bill {number}"])
    end = made[made.rindex(b"startxref") :]
    filling = size_bytes - len(made) - len(end) - 2
    return made + b"%" + b"x" * filling + b"\n" + end if filling > 0 else made


def asking(
    lab: Lab, files: dict[str, Path], model: str, endpoint: str | None, route: str = "batch"
) -> Batch:
    """Two questions about each file, and one about all of them."""
    batch = lab.batch(items_per_batch=3).set_route(route).set_uploads("always")  # type: ignore[arg-type]
    batch.set_default_params(model=model, max_tokens=60)
    if endpoint:
        batch.set_default_params(endpoint=endpoint)
    for name, path in files.items():
        batch.add_job(file=path, prompt="What is it?", id=name)
        batch.add_job(file=path, prompt="Is it good?", id=f"{name} again")
    return batch.add_job(files=list(files.values()), prompt="All of it?", id="all")


def uploads(lab: Lab) -> list[Any]:
    store = SQLiteStore(lab.state_file, read_only=True)
    try:
        return list(store.load().uploads.values())
    finally:
        store.close()


def three_files(folder: Path) -> dict[str, Path]:
    """Three files of three kinds."""
    made = {"a.pdf": pdf(), "b.png": png(), "c.docx": docx("Dear Sir")}
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in made}
