"""Filter conditions: what they mean, and what they refuse."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pyarrow as pa
import pytest

from batchata.core.errors import ValidationError
from batchata.generate.filters import Filter

TABLE = pa.table(
    {
        "a": [1, 2, 3, None],
        "s": ["x", "yy", None, "z"],
        "b c": [1.5, 2.0, 3.0, 4.0],
        "f": [True, False, True, None],
    }
)
NOON = datetime(2026, 1, 2, 12)
TIMES = pa.table(
    {
        "day": pa.array([date(2026, 1, 1), date(2026, 1, 3), None]),
        "at": pa.array([NOON, NOON + timedelta(hours=1), None], pa.timestamp("us")),
        "in_rome": pa.array(
            [NOON, NOON + timedelta(hours=1), None], pa.timestamp("ns", tz="Europe/Rome")
        ),
        "hour": pa.array([time(1), time(2), None]),
        "kind": pa.array(["good", "bad", None]).dictionary_encode(),
    }
)
TEXTS = pa.table({"a": ["1", "2", "3", None], "s": ["x", "yy", None, "z"]})


def fits(text: str, table: pa.Table = TABLE, *, is_text: bool = False) -> str:
    """Which rows fit, as 1 and 0."""
    mask = Filter(text, table.column_names).mask(table, is_text=is_text)
    return "".join(str(int(each)) for each in mask.to_pylist())


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a > 1", "0110"),
        ("1 < a <= 3", "0110"),
        ("a > 1 and s == 'yy'", "0100"),
        ("a > 1 or s == 'x'", "1110"),
        ("(a > 1) & (s == 'yy') | (a == 1)", "1100"),
        ("not a > 1", "1001"),
        ("`b c` * 2 > 4", "0011"),
        ("a % 2 == 1", "1010"),
        ("a / 2 >= 1", "0110"),
        ("-a < -1", "0110"),
        ("a + `b c` > 4", "0010"),
        ("a != 2", "1011"),
        ("s in ('x', 'z')", "1001"),
        ("s not in ['x']", "0111"),
        ("'y' in s", "0100"),
        ("a.isin([1, 2])", "1100"),
        ("s.isna()", "0010"),
        ("s.notna() and s.str.len() < 2", "1001"),
        ("s.str.contains('^y')", "0100"),
        ("s.str.startswith('x') or s.str.endswith('z')", "1001"),
        ("s.str.upper() == 'YY'", "0100"),
        ("s == None", "0010"),
        ("s is not None", "1101"),
        ("f", "1010"),
        ("f == False", "0100"),
    ],
)
def test_a_condition_chooses_rows(text: str, rows: str) -> None:
    assert fits(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [("a > 1", "0110"), ("a in (1, 3)", "1010"), ("a == '1'", "1000"), ("a + 1 > 2", "0110")],
)
def test_texts_of_csv_are_numbers_where_they_are_compared_with_some(text: str, rows: str) -> None:
    assert fits(text, TEXTS, is_text=True) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "names the column '__import__'"),
        ("s.__class__", "cannot be used"),
        ("lambda: 1", "cannot be used"),
        ("[a for a in (1,)]", "cannot be used"),
        ("a[0]", "cannot be used"),
        ("a ** 99999 > 1", "cannot be used"),
        ("(a", "cannot be read"),
        ("a", "is not a condition"),
        ("a > 'x'", "does not fit the rows"),
        ("missing > 1", "names the column 'missing'"),
        ("(" * 300 + "a" + ")" * 300, "cannot be read"),
    ],
)
def test_anything_else_is_refused_with_what_may_be_written(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        fits(text)

    assert said in caught.value.message
    assert "column" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("day >= '2026-01-02'", "010"),
        ("'2026-01-02' > day", "100"),
        ("day in ('2026-01-03', '2026-01-04')", "010"),
        ("at > '2026-01-02T12:30'", "010"),
        ("at == '2026-01-02 12:00:00'", "100"),
        ("in_rome == '2026-01-02T13:00'", "100"),
        ("in_rome > '2026-01-02T12:00Z'", "010"),
        ("hour < '01:30'", "100"),
        ("kind in ['good']", "100"),
        ("kind.str.contains('^b')", "010"),
        ("kind == 'good' or kind.isna()", "101"),
    ],
)
def test_columns_of_times_and_categories_are_compared_with_texts(text: str, rows: str) -> None:
    assert fits(text, TIMES) == rows


@pytest.mark.parametrize("text", ["day > 'soon'", "at > '2026-01-02T12:00Z'", "day in ['x']"])
def test_a_text_that_is_no_such_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="does not fit the rows"):
        fits(text, TIMES)
