from __future__ import annotations

import base64
import hashlib
import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchata.core.document import Attachment, attachment_of
from batchata.core.errors import ValidationError
from batchata.documents import load, spliced, spliced_size


def attached(path: Path, data: bytes) -> Attachment:
    path.write_bytes(data)
    return Attachment(
        name=path.name,
        media_type="application/pdf",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        path=str(path),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3),
    st.integers(1, 50),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_marker_becomes_its_file_and_the_size_is_known_before(
    tmp_path: Path, files: list[bytes], piece_bytes: int, text: str
) -> None:
    found = [attached(tmp_path / f"{n}.pdf", data) for n, data in enumerate(files)]
    body = orjson.dumps([text, *(f"data:x;base64,{each.marker}" for each in found), text])

    whole = b"".join(spliced(body, found, piece_bytes))

    inline = [f"data:x;base64,{base64.b64encode(data).decode()}" for data in files]
    assert orjson.loads(whole) == [text, *inline, text]
    assert spliced_size(body, found) == len(whole)


def test_a_file_used_twice_is_put_in_twice_and_one_not_marked_is_not_read(tmp_path: Path) -> None:
    one = attached(tmp_path / "a.pdf", b"abc")
    gone = attached(tmp_path / "b.pdf", b"xyz")
    (tmp_path / "b.pdf").unlink()
    body = orjson.dumps([one.marker, one.marker])

    assert b"".join(spliced(body, [one, gone, one])) == b'["YWJj","YWJj"]'
    assert spliced_size(body, [one, gone, one]) == 15


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone", "folder", "empty"])
def test_a_file_that_changed_since_is_an_error_that_names_it(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.pdf"
    each = attached(path, b"x" * 1000)
    if change in ("gone", "folder"):
        path.unlink()
        if change == "folder":
            path.mkdir()
    else:
        now = {"longer": b"x" * 1001, "shorter": b"x" * 999, "other": b"y" * 1000, "empty": b""}
        path.write_bytes(now[change])

    with pytest.raises(ValidationError, match=r"a\.pdf"):
        list(spliced(orjson.dumps(each.marker), [each], 300))


def test_a_large_file_passes_through_in_small_pieces(tmp_path: Path) -> None:
    each = attached(tmp_path / "a.pdf", bytes(8_000_000))
    body = orjson.dumps(each.marker)

    tracemalloc.start()
    size = sum(map(len, spliced(body, [each])))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size == spliced_size(body, [each])
    assert peak < 1_000_000


def test_checking_a_large_file_does_not_hold_it(tmp_path: Path) -> None:
    from pypdf import PdfWriter

    from batchata.documents.pdf import create_pdf

    path = tmp_path / "large.pdf"
    writer = PdfWriter(clone_from=BytesIO(create_pdf(["one", "two"])))
    writer.add_attachment("noise.bin", os.urandom(20_000_000))
    writer.write(path)
    del writer

    load(path)
    tracemalloc.start()
    found = load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.pages == 2
    assert attachment_of(found) is not None
    assert peak < 5_000_000
