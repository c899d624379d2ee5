"""Values as texts write them: how surely a number, a date, a time or a word says the value."""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal

import pytest

from batchata.core.citing.booleans import boolean_hits
from batchata.core.citing.dates import date_fit, time_fit
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.labels import form, label_of, likeness
from batchata.core.citing.numbers import fit
from batchata.core.citing.plain import plain

FIRST_NUMBER = re.compile(r"\d[\d.,']*")


@pytest.mark.parametrize(
    ("value", "text", "sureness"),
    [
        ("1250", "total 1250 eur", 1.0),
        ("1234", "1,234", 1.0),
        ("1.234", "1,234", 0.9),
        ("1234.5", "1.234,5", 1.0),
        ("1234567", "12,34,567", 1.0),
        ("1250", "usd1250", 0.95),
        ("1250", "ref1250", 0.0),
        ("7", "9", 0.0),
        ("-5", "-5 degrees", 1.0),
        ("-5", "(5)", 1.0),
        ("5", "(5)", 0.9),
        ("-5", "refund 5 eur", 0.6),
        ("0", "0", 1.0),
        # rounded in the text, or in the answer
        ("3.14159", "3.14", 0.85),
        ("1249.6", "1250", 0.85),
        ("1249", "1260", 0.0),
        # with what follows
        ("0.125", "12.5 %", 1.0),
        ("12.5", "12.5 %", 0.9),
        ("3000", "3k users", 1.0),
        ("3000", "3 k users", 0.8),
        ("30000", "3万元", 1.0),
        ("16", "16gb", 0.7),
        ("5", "5th floor", 0.5),
        ("9", "9 am sharp", 0.3),
        ("9", "9 apples", 1.0),
        # parts of something else
        ("10", "10-20 days", 0.8),
        ("555", "555-12-34", 0.0),
        ("2024", "2024-01-05", 0.0),
        ("12", "12:30", 0.0),
        ("4", "4ap7", 0.0),
        ("5", "_5", 0.0),
        ("5", "5_", 0.0),
    ],
)
def test_a_number_in_a_text_says_a_value(value: str, text: str, sureness: float) -> None:
    found = FIRST_NUMBER.search(text)

    assert found is not None
    assert fit(Decimal(value), text, *found.span()) == pytest.approx(sureness)


@pytest.mark.parametrize(
    ("value", "text", "said", "sureness"),
    [
        (date(2024, 3, 5), "on 2024-03-05.", "2024-03-05", 1.0),
        (date(2024, 3, 5), "id 20240305", "20240305", 0.9),
        (date(2024, 3, 5), "on 5.3.24", "5.3.24", 1.0),
        (date(2024, 3, 5), "on 3/5/2024", "3/5/2024", 1.0),
        (date(2024, 3, 5), "on 3.5.2024", "3.5.2024", 0.5),
        (date(2024, 3, 5), "on 5.3.2023", None, 0.0),
        (date(2024, 3, 5), "5th of march 2024", "5th of march 2024", 1.0),
        (date(2024, 3, 5), "march 5, 2024", "march 5, 2024", 1.0),
        (date(2024, 3, 5), "march 5", "march 5", 0.7),
        (date(2024, 3, 5), "5 march 2023", None, 0.0),
        (date(2024, 3, 1), "since march 2024", "march 2024", 0.6),
        (date(2024, 3, 5), "since march 2024", None, 0.0),
    ],
)
def test_a_date_in_a_text_says_a_value(
    value: date, text: str, said: str | None, sureness: float
) -> None:
    fits = [date_fit(value, text, *found.span()) for found in re.finditer(r"\d+", text)]

    quality, start, end = max(fits)

    assert quality == sureness
    assert said is None or text[start:end] == said


@pytest.mark.parametrize(
    ("value", "text", "sureness"),
    [
        (time(14, 30), "14:30", 1.0),
        (time(14, 30), "2:30 pm", 1.0),
        (time(14, 30), "2:30 a.m.", 0.0),
        (time(14, 30), "14.30", 0.6),
        (time(14, 30), "14:31", 0.0),
        (time(14, 30, 15), "14:30:15", 1.0),
        (time(14, 30, 15), "14:30:16", 0.0),
        (time(0, 0), "12 am", 1.0),
        (time(14, 0), "14 uhr", 1.0),
        (time(14, 0), "14 pieces", 0.0),
    ],
)
def test_a_clock_time_in_a_text_says_a_value(value: time, text: str, sureness: float) -> None:
    assert time_fit(value, text, 0)[0] == sureness


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("insured: yes", True),
        ("insured: no", False),
        ("[x] insured", True),
        ("[ ] insured", False),
        ("insured: n", False),
        ("insured n", None),
        ("insured: あり", True),
        ("insured: なし", False),
        ("insured: 無し", False),
        ("insured: no. 17", None),
        ("insured by acme, yes", None),
    ],
)
def test_a_yes_or_no_stands_beside_its_label(text: str, said: bool | None) -> None:
    label = label_of("insured", ("insured",), (), ())
    joined = JoinedText([plain(text)], between="\n")

    told = [value for value in (True, False) if any(boolean_hits(joined, 0, label, value))]

    assert told == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("wanted", "token", "likely"),
    [
        ("total", "total", 1.0),
        ("invoice", "invoices", 0.95),
        ("company", "companies", 0.95),
        ("id", "ids", 0.0),
        ("gas", "ga", 0.0),
        ("amount", "betrag", 0.9),
        ("nummer", "rechnungsnummer", 0.8),
        ("date", "datelines", 0.7),
        ("total", "price", 0.0),
    ],
)
def test_words_of_a_label_are_alike(wanted: str, token: str, likely: float) -> None:
    assert likeness(form(wanted), form(token)) == likely
