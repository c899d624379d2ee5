"""What every `FilesAPI` must do."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.upload import BATCH_SECONDS, LIVE_SECONDS, Upload
from batchata.documents import load
from batchata.documents.checked import CheckedFile
from batchata.documents.pdf import create_pdf
from batchata.ports import Encoded, FilesAPI, Provider, RemoteFile
from batchata.testing.vendor_contract import VendorContract

TOKEN = "u0123456789abcde"
CONTENT = create_pdf(["Total: 12.00"])


class FilesAPIContract(VendorContract):
    """For `FilesAPI`: a file goes out whole, is found by its token, named by its id and removed."""

    def test_an_upload_is_there_until_it_is_removed(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> tuple[RemoteFile, list[RemoteFile | None]]:
            files = files_of(provider)
            remote = await files.upload(upload_of(provider, self.model, tmp_path), opened(tmp_path))
            looks = [await files.look(remote.id)]
            await files.delete(remote.id)
            return remote, [*looks, await files.look(remote.id)]

        remote, looks = self.ask(tmp_path, work)

        assert remote.id
        assert looks == [remote, None]

    def test_it_stays_long_enough_for_a_batch_and_not_for_ever_where_the_vendor_can(
        self, tmp_path: Path
    ) -> None:
        async def work(provider: Provider) -> RemoteFile:
            files = files_of(provider)
            return await files.upload(upload_of(provider, self.model, tmp_path), opened(tmp_path))

        expires_us = self.ask(tmp_path, work).expires_us

        assert LIVE_SECONDS < BATCH_SECONDS
        assert expires_us is None or expires_us / 1e6 > time.time() + BATCH_SECONDS

    def test_an_upload_whose_answer_was_lost_is_found_by_its_token(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> tuple[RemoteFile, list[list[RemoteFile]]]:
            files = files_of(provider)
            upload = upload_of(provider, self.model, tmp_path)
            before = await files.find(upload)
            remote = await files.upload(upload, opened(tmp_path))
            other = replace(upload, token="u" + "9" * 15)
            return remote, [before, await files.find(upload), await files.find(other)]

        remote, (before, found, other) = self.ask(tmp_path, work)

        assert (before, [each.id for each in found], other) == ([], [remote.id], [])

    def test_one_that_is_not_there_can_be_looked_for_and_removed(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> RemoteFile | None:
            files = files_of(provider)
            await files.delete("file-no-such")
            return await files.look("file-no-such")

        assert self.ask(tmp_path, work) is None

    def test_a_file_that_changed_meanwhile_is_its_error_and_nothing_is_kept(
        self, tmp_path: Path
    ) -> None:
        async def work(provider: Provider) -> list[RemoteFile]:
            files = files_of(provider)
            upload = upload_of(provider, self.model, tmp_path)
            attachment = encoded(provider, self.model, tmp_path).attachments[0]
            path_in(tmp_path).write_bytes(CONTENT[:-1] + b"!")
            with CheckedFile(attachment) as file, pytest.raises(ValidationError, match="changed"):
                await files.upload(upload, file)
            return await files.find(upload)

        assert self.ask(tmp_path, work) == []

    def test_requests_name_the_file_by_its_id(self, tmp_path: Path) -> None:
        with self.open_provider(tmp_path) as make:
            provider = make()
            request = encoded(provider, self.model, tmp_path)
            (attachment,) = request.attachments

            body = files_of(provider).refer(request.body, {attachment.marker: "file-123"})

            assert b"file-123" in body
            assert attachment.marker.encode() not in body
            assert b"What is the total?" in body

    def test_what_was_not_uploaded_stays_marked(self, tmp_path: Path) -> None:
        with self.open_provider(tmp_path) as make:
            provider = make()
            request = encoded(provider, self.model, tmp_path)

            body = files_of(provider).refer(request.body, {})

            assert orjson.loads(body) == orjson.loads(request.body)

    def test_equal_files_have_equal_destinations(self, tmp_path: Path) -> None:
        with self.open_provider(tmp_path) as make:
            provider = make()
            request = encoded(provider, self.model, tmp_path)
            (attachment,) = request.attachments
            again = replace(attachment, path="/elsewhere/bill.pdf")

            found = files_of(provider).destination(request.shape, attachment)

            assert found is not None
            assert found == files_of(provider).destination(request.shape, again)


def files_of(provider: Provider) -> FilesAPI:
    """The provider's files API, which the contract is about."""
    assert provider.files is not None
    return provider.files


def path_in(folder: Path) -> Path:
    """A small PDF."""
    path = folder / "bill.pdf"
    if not path.exists():
        path.write_bytes(CONTENT)
    return path


def opened(folder: Path) -> io.BytesIO:
    """The PDF, to be read."""
    return io.BytesIO(path_in(folder).read_bytes())


def encoded(provider: Provider, model: str, folder: Path) -> Encoded:
    """A question about the PDF."""
    path = path_in(folder)
    job = Job("a", model, file=path, prompt="What is the total?")
    return provider.codec.encode(job, model, [load(path)])


def upload_of(provider: Provider, model: str, folder: Path) -> Upload:
    """The PDF on its way, as the engine would have it."""
    request = encoded(provider, model, folder)
    (attachment,) = request.attachments
    destination = files_of(provider).destination(request.shape, attachment)
    assert destination is not None
    return Upload(
        token=TOKEN,
        provider=provider.name,
        purpose=destination.purpose,
        name=destination.name,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        intended_us=int(time.time() * 1e6),
    )
