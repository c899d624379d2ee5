"""Quotes found again in pages of text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import how_often

from batchata.core.citing import Location, Pages, locate

PAGES = [
    "Lease agreement\nbetween Harbour Light Ltd and\nMr. José Núñez.",
    "The tenant shall keep the prem-\nises in good repair; the deposit of $1,250.00 is\nnot "
    "refundable. Unit 15, floor 2.\n\u201cDon\u2019t sublet\u201d applies \u2013 always.",
    "Total: 1,205.00\nDeposit: 125.00\nBalance: -40.00\nThe of\ufb01ce is closed on",
    "Sundays and public holidays.",
]
MARKS = '\u201c\u201d"-'
WORDS = ["the", "rent", "is", "due", "on", "day", "five", "of", "each", "month"]


@pytest.mark.parametrize(
    ("quote", "page", "words"),
    [
        ("Harbour Light Ltd", 1, "Harbour Light Ltd"),
        ("HARBOUR LIGHT LTD", 1, "Harbour Light Ltd"),
        ("harbour  light\nltd and Mr. José", 1, "Harbour Light Ltd and\nMr. José"),
        ("Mr. Jose\u0301 Nu\u0301n\u0303ez", 1, "Mr. José Núñez"),
        ("keep the premises in good repair", 2, "keep the prem-\nises in good repair"),
        (
            '"Don\'t sublet" applies - always',
            2,
            "\u201cDon\u2019t sublet\u201d applies \u2013 always",
        ),
        ("1,205.00", 3, "1,205.00"),
        ("The office is closed", 3, "The of\ufb01ce is closed"),
        ("-40.00", 3, "-40.00"),
        ("Unit 15", 2, "Unit 15"),
    ],
)
def test_a_quote_is_found_however_the_page_breaks_and_spells_it(
    quote: str, page: int, words: str
) -> None:
    found = locate(quote, PAGES)

    assert found is not None
    assert (found.page, found.score) == (page, 1.0)
    text = PAGES[page - 1][found.start : found.end]
    assert text.strip('“”"-') == words.strip('“”"-')


@pytest.mark.parametrize(
    "quote",
    [
        "",
        "  ",
        "…",
        "arbour Light",
        "125",
        "205.00",
        "1,25",
        "5",
        "Unit 1",
        "-125.00",
        "the deposit of $1,280.00 is not refundable",
        "the deposit of $1,250.00 is refundable in full now",
        "The landlord pays for all repairs of the roof and the windows",
    ],
)
def test_what_is_not_there_is_not_found(quote: str) -> None:
    assert locate(quote, PAGES) is None


def test_a_quote_over_the_end_of_a_page_has_both_pages() -> None:
    found = locate("office is closed on Sundays and public holidays", PAGES)

    assert found is not None
    assert (found.page, found.end_page) == (3, 4)
    assert Pages(PAGES).text(found) == "of\ufb01ce is closed on\nSundays and public holidays"


def test_a_quote_with_a_letter_wrong_is_nearly_found() -> None:
    found = locate("The tenant shall keep the premisses in good repair", PAGES)

    assert found is not None
    assert found.page == 2
    assert 0.7 <= found.score < 1
    assert (
        PAGES[1][found.start : found.end] == "The tenant shall keep the prem-\nises in good repair"
    )


def test_a_quote_with_something_left_out_covers_all_of_it() -> None:
    found = locate("The tenant shall keep … good repair", PAGES)

    assert found is not None
    assert (
        PAGES[1][found.start : found.end] == "The tenant shall keep the prem-\nises in good repair"
    )


def test_two_numbers_beside_each_other_are_not_one() -> None:
    assert locate("15", ["page 1\n5 items"]) is None
    assert locate("15", ["page 1\n5 items, 15 in all"]) == Location(1, 16, 18)


def test_many_quotes_share_the_work_on_the_pages() -> None:
    pages = Pages([f"Page {number} says value {number * 7}." for number in range(1, 301)])

    assert [pages.locate(f"value {number * 7}") for number in (1, 150, 300)] == [
        Location(1, 12, 19),
        Location(150, 14, 24),
        Location(300, 14, 24),
    ]


@settings(max_examples=how_often(200), deadline=None)
@given(pages=st.lists(st.text(max_size=80), max_size=3), quote=st.text(max_size=50), data=st.data())
def test_no_text_makes_it_raise_and_pieces_of_pages_are_in_bounds(
    pages: list[str], quote: str, data: st.DataObject
) -> None:
    wanted = quote
    if pages and data.draw(st.booleans()):
        page = data.draw(st.sampled_from(pages))
        start = data.draw(st.integers(0, len(page)))
        wanted = page[start : data.draw(st.integers(start, len(page)))]

    found = locate(wanted, pages)

    if found is not None:
        assert 1 <= found.page <= len(pages)
        assert 0 <= found.start <= len(pages[found.page - 1])
        assert 0 <= found.end <= len(pages[found.end_page - 1])


@settings(max_examples=how_often(100), deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=3))
def test_every_run_of_whole_words_is_found(words: list[str]) -> None:
    page = " ".join(words)

    found = locate(" ".join(words[1:]), ["nothing", page])

    assert found is not None
    assert found.page == 2
