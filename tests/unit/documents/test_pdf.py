from __future__ import annotations

from pathlib import Path

import pytest

from batchata.core.errors import ValidationError
from batchata.documents.pdf import (
    create_pdf,
    extract_text_from_pdf,
    get_pdf_info,
    is_textual_pdf,
)

FULL = "This page has more than twenty characters."


def written(folder: Path, *pages: str) -> Path:
    path = folder / "a.pdf"
    path.write_bytes(create_pdf(list(pages)))
    return path


def test_text_put_into_a_pdf_comes_back_from_it(tmp_path: Path) -> None:
    path = written(tmp_path, "Total (net): 10 € \\ é\nsecond line", "page two")

    assert extract_text_from_pdf(path) == "Total (net): 10 € \\ é\nsecond line\npage two"


def test_an_empty_page_is_a_page(tmp_path: Path) -> None:
    assert get_pdf_info(written(tmp_path, "", FULL, FULL)) == (3, False, f"\n{FULL}\n{FULL}")


def test_a_page_of_a_thousand_lines_keeps_them_all(tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join(f"line {number}" for number in range(1000)))

    assert "line 999" in extract_text_from_pdf(path)


@pytest.mark.parametrize(
    ("textual", "empty", "score"),
    [(4, 0, 1.0), (1, 10, 1 / 22), (2, 8, 0.1), (7, 3, 0.35), (8, 2, 0.8), (0, 3, 0.0)],
)
def test_the_score_is_the_share_of_pages_with_text_halved_when_many_lack_it(
    tmp_path: Path, textual: int, empty: int, score: float
) -> None:
    path = written(tmp_path, *[FULL] * textual, *[""] * empty)

    assert is_textual_pdf(path) == pytest.approx(score)


def test_short_pages_count_when_fewer_characters_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, *["Total 5"] * 3)

    assert is_textual_pdf(path) == 0.0
    assert is_textual_pdf(path, min_chars_per_page=5) == 1.0


def test_a_file_that_cannot_be_read_scores_nothing_and_has_no_info(tmp_path: Path) -> None:
    path = tmp_path / "gone.pdf"

    assert is_textual_pdf(path) == 0.0
    with pytest.raises(ValidationError, match=r"gone\.pdf"):
        get_pdf_info(path)
    path.write_bytes(b"%PDF-1.4 nothing")
    assert is_textual_pdf(path) == 0.0
    with pytest.raises(ValidationError, match="damaged"):
        extract_text_from_pdf(path)


def test_a_pdf_needs_a_page_and_characters_of_its_font() -> None:
    with pytest.raises(ValidationError, match="needs a page"):
        create_pdf([])
    with pytest.raises(ValidationError, match="東"):
        create_pdf(["東京"])
