from __future__ import annotations

import pytest

from batchata.report.marking import SHOWN_WHOLE, Span, cut, find


@pytest.mark.parametrize(
    ("text", "passage", "found"),
    [
        ("The total is 5 EUR.", "total is 5", "total is 5"),
        ("The total\n   is 5 EUR.", "The Total is 5", "The total\n   is 5"),
        ("a “quoted” – word", 'a "quoted" - word', "a “quoted” – word"),  # noqa: RUF001
        ("ﬁnal oﬀer", "final offer", "ﬁnal oﬀer"),
        ("straßE here", "STRASSE", "straßE"),
        ("hyphen\u00adated", "hyphenated", "hyphen\u00adated"),
        ("in 2010 and 10", "10", "10"),
        ("日本語の文章", "語の文", "語の文"),
    ],
)
def test_finds_a_passage_whatever_its_spaces_case_and_quotes(
    text: str, passage: str, found: str
) -> None:
    [(start, end)] = find(text, passage)

    assert text[start:end] == found


@pytest.mark.parametrize("passage", ["", "   ", "absent", "10"])
def test_finds_nothing_that_is_not_there(passage: str) -> None:
    assert find("INV-2010 and more", passage) == []


def test_takes_the_passage_nearest_to_where_it_should_be() -> None:
    text = "five cents. " * 5

    assert find(text, "five cents.", 36) == [(36, 47)]
    assert find(text, "five cents.") == [(0, 11)]


def test_finds_the_lines_of_a_passage_that_is_not_there_as_a_whole() -> None:
    text = "Seller: Northwind Traders\n(page 1)\nBuyer: Port Ellis Council"

    found = find(text, "Seller: Northwind Traders\nBuyer: Port Ellis Council")

    assert [text[start:end] for start, end in found] == [
        "Seller: Northwind Traders",
        "Buyer: Port Ellis Council",
    ]


def test_stays_quick_in_a_long_text_of_many_repetitions() -> None:
    text = "aaaa " * 100_000  # compared with each other, they would take hours

    assert find(text, "aaaa b", 400_000) == []
    assert find(text, "aaaa aaaa", 400_000) == [(400_000, 400_009)]


def test_cuts_a_text_at_its_passages_and_where_they_overlap() -> None:
    pieces = cut("abcdef", [Span(1, 4, 0), Span(3, 5, 1)])

    assert pieces == [["a"], ["bc", [0]], ["d", [0, 1]], ["e", [1]], ["f"]]


def test_shows_a_long_text_around_its_passages_only() -> None:
    text = "x" * SHOWN_WHOLE + "here" + "y" * SHOWN_WHOLE
    span = Span(SHOWN_WHOLE, SHOWN_WHOLE + 4, 3)

    pieces = cut(text, [span])

    assert pieces[0] == pieces[-1] == [None]
    assert ["here", [3]] in pieces
    assert sum(len(piece[0] or "") for piece in pieces) < 2_000


def test_loses_no_character_of_a_short_text() -> None:
    text = "one two three"

    pieces = cut(text, [Span(0, 3, 0), Span(4, 13, 1), Span(0, 13, 2)])

    assert "".join(piece[0] for piece in pieces) == text
