"""From blocks and fields to citations: what a caller sees."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel
from thoroughness import how_often

from batchata.core.citing import CitedBlock, map_citations, map_citations_to_fields
from batchata.core.result import Citation


class Status(Enum):
    PAID_IN_FULL = "paid-in-full"
    OPEN = "open"


class Item(BaseModel):
    name: str
    price: Decimal


class Vendor(BaseModel):
    name: str
    city: str | None = None


class Invoice(BaseModel):
    vendor: Vendor
    items: list[Item] = []
    total: float | None = None
    due: date | None = Field(default=None, alias="payment_date", validation_alias="due")
    status: Status = Status.OPEN


def cited(text: str, *passages: str) -> CitedBlock:
    return CitedBlock(text, tuple(Citation(text=each, source="a.pdf") for each in passages))


def passages(found: dict[str, list[Citation]]) -> dict[str, list[str]]:
    return {path: [each.text for each in citations] for path, citations in found.items()}


def test_nested_models_and_lists_have_dotted_paths() -> None:
    invoice = Invoice(
        vendor=Vendor(name="Acme Corp"), items=[Item(name="Bolt", price=Decimal("1.10"))], total=1.1
    )
    blocks = [
        cited("Vendor: Acme Corp\n", "ACME CORP"),
        cited("- Bolt, price 1.10\n", "Bolt 1.10"),
        cited("Total: $1.10", "Total 1.10"),
    ]

    found = map_citations(blocks, invoice)

    assert passages(found.fields) == {
        "vendor.name": ["ACME CORP"],
        "items[0].name": ["Bolt 1.10"],
        "items[0].price": ["Bolt 1.10"],
        "total": ["Total 1.10"],
    }
    assert found.unmapped == ("status",)


def test_each_citation_says_how_sure_it_is_and_why() -> None:
    kept = Citation(text="Total due 1.234,50 EUR", source="a.pdf", page=3, metadata={"type": "x"})

    found = map_citations([CitedBlock("Total: 1,234.50", (kept,))], {"total": 1234.5})

    (citation,) = found.fields["total"]
    assert citation.confidence == "high"
    assert citation.match_reason is not None
    assert citation.match_reason.startswith("exact field match")
    assert citation.metadata is not None
    assert citation.metadata["type"] == "x"
    assert 0.9 <= citation.metadata["score"] <= 1
    assert (citation.page, kept.metadata) == (3, {"type": "x"})


@pytest.mark.parametrize(
    ("words", "passage", "place"),
    [
        ("Total: 1,234.50", "Amounts are listed below", "answer"),
        ("See the letter", "Total: 1,234.50", "source"),
        ("Total: 1,234.50", "Total: 1,234.50", "answer and source"),
    ],
)
def test_each_citation_says_where_the_value_stands(words: str, passage: str, place: str) -> None:
    (citation,) = map_citations([cited(words, passage)], {"total": 1234.5}).fields["total"]

    assert str(citation.match_reason).endswith(f"; value in {place})")


@pytest.mark.parametrize(("number", "is_cited"), [(1, False), (9, False), (10, True), (37, True)])
def test_a_single_digit_without_its_label_is_nobodys_citation(number: int, is_cited: bool) -> None:
    block = cited(f"There were {number} of them", f"{number} were seen")

    found = map_citations([block], {"weight": number})

    assert ("weight" in found.fields) is is_cited
    assert all(each.confidence == "low" for each in found.fields.get("weight", ()))


def test_a_value_is_cited_by_the_rest_of_its_sentence_and_not_by_an_earlier_one() -> None:
    value, rest = cited("Vendor is Acme Corp, as"), cited(" stated in the letter", "the letter")

    after = map_citations([value, rest], {"vendor": "Acme Corp"})
    before = map_citations([rest, value], {"vendor": "Acme Corp"})

    assert passages(after.fields) == {"vendor": ["the letter"]}
    assert before.unmapped == ("vendor",)


def test_a_field_is_found_by_its_alias_and_an_enum_by_its_name() -> None:
    invoice = Invoice(vendor=Vendor(name="Zed"), due=date(2024, 5, 6), status=Status.PAID_IN_FULL)
    blocks = [
        cited("Payment date: 6 May 2024. ", "6 May"),
        cited("Printed on 6 May 2024. ", "printed"),
        cited("Status: Paid in full", "paid"),
    ]

    found = map_citations(blocks, invoice)

    assert passages(found.fields) == {"due": ["6 May"], "status": ["paid"]}


def test_a_mapping_takes_its_labels_from_the_model() -> None:
    blocks = [cited("Payment date: 6 May 2024. ", "right"), cited("Seen on 6 May 2024. ", "wrong")]

    found = map_citations(blocks, {"due": date(2024, 5, 6)}, model=Invoice)

    assert passages(found.fields) == {"due": ["right"]}


def test_a_list_or_a_root_model_is_mapped_by_its_places() -> None:
    blocks = [cited("Oslo", "Oslo"), CitedBlock(" and "), cited("Bergen", "Bergen")]

    assert passages(map_citations(blocks, ["Oslo", "Bergen"]).fields) == {
        "[0]": ["Oslo"],
        "[1]": ["Bergen"],
    }
    root = RootModel[list[str]](["Oslo", "Bergen"])
    assert passages(map_citations(blocks, root).fields) == {"[0]": ["Oslo"], "[1]": ["Bergen"]}


def test_a_warning_names_what_has_no_citation_when_that_is_more_than_half() -> None:
    pair = ("Some alpha has ONE-1 in it", Citation(text="x", source="d"))
    fields = {"alpha": "ONE-1", "beta": "TWO-2", "gamma": "THREE-3", "active": True, "note": None}

    found, warning = map_citations_to_fields([pair], fields)

    assert list(found) == ["alpha"]
    assert warning == "Could not find citations for: beta, gamma"


def test_half_of_the_fields_is_no_warning() -> None:
    pair = ("alpha: ONE-1", Citation(text="x", source="d"))

    assert map_citations_to_fields([pair], {"alpha": "ONE-1", "beta": "TWO-2"})[1] is None


def test_the_known_function_keeps_every_citation_of_the_same_words() -> None:
    first, second = Citation(text="one", source="a"), Citation(text="two", source="b")
    pairs = [("Vendor: Acme Corp", first), ("Vendor: Acme Corp", second)]

    found, _ = map_citations_to_fields(pairs, {"vendor": "Acme Corp"})

    assert [each.text for each in found["vendor"]] == ["one", "two"]


@pytest.mark.parametrize("parsed", [None, {}, [], "text", 5, {"a": {}}, {"a": None}])
def test_nothing_to_map_gives_nothing(parsed: Any) -> None:
    found = map_citations([cited("Total: 5", "5")], parsed)

    assert set(found.fields) <= {""}


def test_an_answer_without_citations_gives_nothing() -> None:
    found = map_citations([CitedBlock("Total: 500")], {"total": 500})

    assert (found.fields, found.unmapped) == ({}, ("total",))


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = {"a": value}
    return value


class Rude:
    def __str__(self) -> str:
        raise ValueError("no")


ODD = [
    float("nan"), float("inf"), 10**5000, -(10**400), Decimal("NaN"), Decimal("1E+999999"),
    Decimal("sNaN"), 5e-324, 1e308, b"bytes", Rude(), "\ud800", "\x00", " ", "(((", "[0]", "*" * 99,
    {1, 2}, {"": {"": ""}}, date.min, date.max, deep(500), range(3), type, {None: 1, (1,): 2},
    "9" * 5000, "$", "-", ".", "1.2.3.4", "00", "%", 0, -0.0, True, "A",
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_values_never_raise(value: Any) -> None:
    text = "odd: 5, 1.5e300, \ud800 (((, [0], 0001-01-01 9999-12-31 12345678901234567890 -0 % $ A"

    found = map_citations([cited(text, text)], {"odd": value, "plain": "odd"})

    assert isinstance(found.fields, dict)


_texts = st.text(max_size=60) | st.text(alphabet="0123456789.,-/: $%()|\nabm年", max_size=40)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.dates()
    | st.datetimes()
    | st.times()
    | _texts
)


@settings(max_examples=how_often(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    blocks=st.lists(st.tuples(_texts, st.lists(_texts, max_size=2)), max_size=5),
    parsed=st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
        max_leaves=8,
    ),
)
def test_no_answer_makes_the_mapper_raise(blocks: list[tuple[str, list[str]]], parsed: Any) -> None:
    found = map_citations([cited(text, *texts) for text, texts in blocks], parsed)

    for citations in found.fields.values():
        for each in citations:
            assert each.confidence in ("high", "medium", "low")
            assert each.metadata is not None
            assert 0 <= each.metadata["score"] <= 1


@settings(max_examples=how_often(100), deadline=None)
@given(number=st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False))
def test_any_amount_is_found_as_it_is_printed_in_english_and_german(number: Decimal) -> None:
    english = f"{number:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))

    for text in (english, german):
        found = map_citations([cited(f"Grand total: {text} EUR", "x")], {"grand_total": number})
        assert "grand_total" in found.fields, text


@settings(max_examples=how_often(100), deadline=None)
@given(day=st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)))
def test_any_date_is_found_in_the_usual_forms(day: date) -> None:
    forms = (
        day.isoformat(),
        f"{day:%B} {day.day}, {day.year}",
        f"{day.day} {day:%b} {day.year}",
        f"{day:%d.%m.%Y}",
        f"{day:%m/%d/%Y}",
        f"{day.year}年{day.month}月{day.day}日",
    )

    for form in forms:
        found = map_citations([cited(f"Signed on {form}.", "x")], {"signed_on": day})
        assert "signed_on" in found.fields, form


def test_a_value_of_a_megabyte_is_found_by_its_beginning() -> None:
    value = "The parties agree as follows. " * 40_000
    blocks = [
        CitedBlock(f"text: {value}", (Citation(text="The parties agree as follows.", source="a"),))
    ]

    found = map_citations(blocks, {"text": value, "other": "x" * 1_000_000})

    assert list(found.fields) == ["text"]
