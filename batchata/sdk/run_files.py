"""The files of a run: those that its jobs name, and where its own are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from batchata.core.config import RunConfig
from batchata.core.document import Accepts, Attachment, Document
from batchata.core.job import Job
from batchata.sinks.results import make_folder


def load_documents(job: Job, accepts: Accepts) -> tuple[Document, ...]:
    """The files of a job, read and checked for a vendor."""
    from batchata.documents import Wanted, load_all

    wanted = Wanted(
        accepts=accepts,
        is_cited=job.enable_citations,
        downscale_images=job.downscale_images,
    )
    return load_all(job.sources, wanted)


def splice(body: bytes, attachments: tuple[Attachment, ...]) -> Iterable[bytes]:
    """A request with its files put in, piece by piece."""
    from batchata.documents import spliced

    return spliced(body, attachments)


def open_file(attachment: Attachment) -> BinaryIO:
    """A job's file as it was when it was checked."""
    from batchata.documents import CheckedFile

    return CheckedFile(attachment)


def resolve_paths(config: RunConfig) -> RunConfig:
    """The config with a state file: the user's, one in the results folder, or a temporary one."""
    if config.state_file is not None:
        return config
    if config.results_dir is not None:
        make_folder(config.results_dir)
        return replace(config, state_file=config.results_dir / "state.db")
    folder = Path(tempfile.mkdtemp(prefix="batchata-"))
    return replace(config, state_file=folder / "state.db")


def fix_paths(config: RunConfig) -> RunConfig:
    """The config with paths that stay the same when the process changes its working directory."""
    fixed = {
        name: path.absolute()
        for name in ("state_file", "results_dir", "cache_file")
        if (path := getattr(config, name)) is not None
    }
    return replace(config, **fixed)


def place_from(folder: Path, beside: Path) -> str:
    """A folder as seen from another: the same when both were moved together."""
    try:
        return os.path.relpath(folder.absolute(), beside.absolute())
    except ValueError:  # on another drive
        return str(folder.absolute())
