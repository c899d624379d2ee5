from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import pytest
from file_lab import picture, png

from batchata.core.document import Accepts, FileUrl
from batchata.core.errors import ValidationError
from batchata.documents import Wanted, load_all

SMALL = Accepts(image_side=100, many_images=2, many_side=50, image_bytes=50_000)
SHRINK = Wanted(accepts=SMALL, downscale_images=True)


def sides(data: bytes | None) -> tuple[int, int]:
    from PIL import Image

    assert data is not None
    with Image.open(BytesIO(data)) as found:
        size: tuple[int, int] = found.size
        return size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_too_large_is_made_smaller_and_keeps_its_shape(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photo.{kind.lower()}"
    path.write_bytes(picture(kind, 400, 200))

    (found,) = load_all([path], SHRINK)

    assert (found.width, found.height) == sides(found.data) == (100, 50)
    assert (found.path, found.name) == (None, path.name)
    assert found.size_bytes == len(found.data or b"")


def test_an_image_small_enough_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(100, 100))

    (found,) = load_all([path], SHRINK)

    assert (found.path, found.data) == (str(path), None)


def test_many_images_must_each_be_smaller() -> None:
    found = load_all([png(80, 40)] * 3, SHRINK)

    assert [(each.width, each.height) for each in found] == [(50, 25)] * 3


def test_an_image_of_too_many_bytes_is_made_smaller_until_it_fits() -> None:
    import os

    from PIL import Image

    out = BytesIO()
    Image.frombytes("RGB", (300, 300), os.urandom(270_000)).save(out, format="PNG")
    accepts = Accepts(image_bytes=50_000)

    (found,) = load_all([out.getvalue()], Wanted(accepts=accepts, downscale_images=True))

    assert found.size_bytes <= 50_000


def test_a_file_that_only_begins_like_an_image_is_an_error_that_names_it() -> None:
    broken = bytearray(png(400, 400))
    broken[60:80] = bytes(20)

    with pytest.raises(ValidationError, match=r"'a\.png' cannot be made smaller"):
        load_all([("a.png", bytes(broken))], SHRINK)


def test_an_image_too_large_to_unpack_is_an_error() -> None:
    with pytest.raises(ValidationError, match="too many to unpack"):
        load_all([("a.png", png(10_000, 9_500))], SHRINK)


def test_a_missing_library_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(ValidationError) as caught:
        load_all([png(400, 400)], SHRINK)

    assert "batchata[documents]" in (caught.value.hint or "")


def test_an_image_at_an_address_is_left_to_the_vendor() -> None:
    (found,) = load_all([FileUrl("https://a.example/x.png")], SHRINK)

    assert found.url == "https://a.example/x.png"
