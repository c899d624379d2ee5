"""Filter conditions: parsed, never evaluated as code.

`score > 3 and lang in ("en", "de") and text.str.len() < 500 and not note.isna()`
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow
import pyarrow.compute as pc

from batchata.core.errors import ValidationError

_QUOTED: Final = re.compile(r"`([^`]+)`")
_HINT: Final = (
    "use column names (in backticks where they are not plain words), numbers, texts, "
    "== != < <= > >=, in, and, or, not, + - * / %, .isna(), .notna(), .str.len(), "
    ".str.contains(), .str.startswith(), .str.endswith(), .str.lower(), .str.upper()"
)
_COMPARE: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_REVERSED: Final[dict[str, str]] = {
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}
_ARITHMETIC: Final[dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("subtract", operator.sub),
    ast.Mult: ("multiply", operator.mul),
    ast.Div: ("divide", operator.truediv),
}
_LOGIC: Final = {ast.BitAnd: "and", ast.BitOr: "or"}
#: method → (function, number of text arguments)
_TEXT_METHODS: Final[dict[str, tuple[Callable[..., Any], int]]] = {
    "contains": (lambda column, text: pc.match_substring_regex(column, text), 1),
    "startswith": (lambda column, text: pc.starts_with(column, text), 1),
    "endswith": (lambda column, text: pc.ends_with(column, text), 1),
    "lower": (pc.utf8_lower, 0),
    "upper": (pc.utf8_upper, 0),
    "strip": (pc.utf8_trim_whitespace, 0),
    "len": (pc.utf8_length, 0),
}
_MISSING: Final = {"isna": True, "isnull": True, "notna": False, "notnull": False}
_Column = pyarrow.Array | pyarrow.ChunkedArray


class Filter:
    """A condition on rows; ValidationError when it cannot be understood."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self._names: dict[str, str] = {}
        try:
            tree = ast.parse(_QUOTED.sub(self._placeholder, text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._wrong(f"cannot be read: {getattr(error, 'msg', error)}") from error
        self._tree = tree
        named = [each.id for each in ast.walk(tree) if isinstance(each, ast.Name)]
        self.columns = tuple(dict.fromkeys(self._names.get(name, name) for name in named))
        for name in self.columns:
            if name not in columns:
                raise ValidationError(
                    f"filter_condition {text!r} names the column {name!r}",
                    hint=f"the columns are: {', '.join(columns)}",
                )

    def _placeholder(self, found: re.Match[str]) -> str:
        name = f"_column_{len(self._names)}_"
        self._names[name] = found[1]
        return name

    def mask(self, table: pyarrow.Table | pyarrow.RecordBatch, *, is_text: bool = False) -> Any:
        """True for each row that fits; a missing value only fits `!=`.

        With `is_text` all columns are texts, as in CSV, and those compared to numbers are read as
        numbers.
        """
        seen = _Evaluation(self, table, is_text=is_text)
        try:
            mask = seen.of(self._tree)
            is_mask = isinstance(mask, _Column) and pyarrow.types.is_boolean(mask.type)
        except (pyarrow.ArrowException, TypeError, ValueError, ArithmeticError) as error:
            raise self._wrong(f"does not fit the rows: {error}") from error
        if not is_mask:
            raise self._wrong("is not a condition: it is neither true nor false for a row")
        return pc.fill_null(mask, False)

    def name(self, node: ast.Name) -> str:
        """The column that a name in the condition refers to."""
        return self._names.get(node.id, node.id)

    def _wrong(self, why: str) -> ValidationError:
        return ValidationError(f"filter_condition {self.text!r} {why}", hint=_HINT)


class _Evaluation:
    """One condition over one table."""

    def __init__(self, condition: Filter, table: Any, *, is_text: bool) -> None:
        self._condition = condition
        self._table = table
        self._is_text = is_text

    def of(self, node: ast.expr) -> Any:
        """The value of a part of the condition: a column, or a plain value."""
        match node:
            case ast.Name():
                return _decoded(self._table.column(self._condition.name(node)))
            case ast.Constant(value=value) if isinstance(value, (str, int, float, type(None))):
                return value
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return [self.of(each) for each in elements]
            case ast.BoolOp(op=op, values=values):
                return self._joined("and" if isinstance(op, ast.And) else "or", values)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(left, op, right)
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(op, self.of(operand))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._compared(left, ops, rest)
            case ast.Call(func=ast.Attribute() as method, args=args, keywords=[]):
                return self._called(method, args)
        raise TypeError(f"{ast.unparse(node)!r} cannot be used")

    def _joined(self, function: str, values: Sequence[ast.expr]) -> Any:
        first, *rest = (self.of(each) for each in values)
        for each in rest:
            first = pc.call_function(function, [first, each])
        return first

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> Any:
        if type(op) in _LOGIC:
            return self._joined(_LOGIC[type(op)], (left, right))
        one, two = self.of(left), self.of(right)
        if isinstance(op, ast.Mod):
            if isinstance(one, _Column):
                one = self._number(one)
                whole = pc.floor(pc.divide(pc.cast(one, pyarrow.float64()), two))
                return pc.subtract(one, pc.multiply(whole, two))
            return one % two
        if type(op) not in _ARITHMETIC:
            raise TypeError(f"{type(op).__name__} cannot be used")
        named, plainly = _ARITHMETIC[type(op)]
        if not isinstance(one, _Column) and not isinstance(two, _Column):
            return plainly(one, two)
        if named == "divide":
            one = pc.cast(self._number(one), pyarrow.float64()) if isinstance(one, _Column) else one
        return pc.call_function(named, [self._number(one), self._number(two)])

    def _unary(self, op: ast.unaryop, value: Any) -> Any:
        if isinstance(op, (ast.Not, ast.Invert)):
            return pc.invert(value)
        if isinstance(op, ast.USub):
            return pc.negate(self._number(value)) if isinstance(value, _Column) else -value
        return value

    def _compared(self, left: ast.expr, ops: Sequence[ast.cmpop], rest: Sequence[ast.expr]) -> Any:
        found: Any = None
        one = self.of(left)
        for op, node in zip(ops, rest, strict=True):
            two = self.of(node)
            mask = self._one_comparison(one, op, two)
            found = mask if found is None else pc.and_(found, mask)
            one = two
        return found

    def _one_comparison(self, one: Any, op: ast.cmpop, two: Any) -> Any:
        if isinstance(op, (ast.In, ast.NotIn)):
            mask = self._is_in(one, two)
            return pc.invert(mask) if isinstance(op, ast.NotIn) else mask
        if two is None and isinstance(op, (ast.Is, ast.Eq, ast.IsNot, ast.NotEq)):
            mask = pc.is_null(one)
            return mask if isinstance(op, (ast.Is, ast.Eq)) else pc.invert(mask)
        name = _COMPARE.get(type(op))
        if name is None:
            raise TypeError(f"{type(op).__name__} cannot be used")
        if not isinstance(one, _Column):
            one, two, name = two, one, _REVERSED.get(name, name)
        one, two = self._alike(one, _moment(two, one))
        return pc.fill_null(pc.call_function(name, [one, two]), name == "not_equal")

    def _is_in(self, one: Any, two: Any) -> Any:
        if isinstance(one, str) and isinstance(two, _Column):  # "word" in column
            return pc.fill_null(pc.match_substring(two, one), False)
        if not isinstance(two, list):
            raise TypeError("in needs a list of values")
        numbers = bool(two) and all(isinstance(each, (int, float)) for each in two)
        column = self._number(one) if numbers else one
        values = pyarrow.array([_moment(each, one) for each in two])
        if numbers:
            values, column = (pc.cast(each, pyarrow.float64()) for each in (values, column))
        elif two:
            values = values.cast(column.type)
        return pc.is_in(column, value_set=values)

    def _alike(self, one: Any, two: Any) -> tuple[Any, Any]:
        is_number = isinstance(two, (int, float)) and not isinstance(two, bool)
        return (self._number(one), two) if is_number else (one, two)

    def _number(self, value: Any) -> Any:
        """A column as numbers, if all columns are texts; a text that is no number is missing."""
        if not self._is_text or not isinstance(value, _Column):
            return value
        if not pyarrow.types.is_string(value.type):
            return value
        looks = pc.match_substring_regex(value, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
        kept = pc.if_else(looks, pc.utf8_trim_whitespace(value), None)
        return pc.cast(kept, pyarrow.float64())

    def _called(self, method: ast.Attribute, args: Sequence[ast.expr]) -> Any:
        given = [self.of(each) for each in args]
        if isinstance(method.value, ast.Attribute) and method.value.attr == "str":
            function, count = _TEXT_METHODS.get(method.attr, (None, 0))
            texts = all(isinstance(each, str) for each in given)
            if function is not None and len(given) == count and texts:
                return function(self.of(method.value.value), *given)
        elif method.attr in _MISSING and not given:
            mask = pc.is_null(self.of(method.value), nan_is_null=True)
            return mask if _MISSING[method.attr] else pc.invert(mask)
        elif method.attr == "isin" and len(given) == 1:
            return self._is_in(self.of(method.value), given[0])
        raise TypeError(f"{ast.unparse(method)}() cannot be used")


def _decoded(column: Any) -> Any:
    """A categorical column as its plain values."""
    kind = column.type
    return column.cast(kind.value_type) if pyarrow.types.is_dictionary(kind) else column


def _moment(value: Any, column: Any) -> Any:
    """A text compared to a date or time column, as such a value in the column's time zone."""
    if not isinstance(value, str) or not isinstance(column, _Column):
        return value
    kind = column.type
    if pyarrow.types.is_date(kind):
        return pyarrow.scalar(date.fromisoformat(value), kind)
    if pyarrow.types.is_time(kind):
        return pyarrow.scalar(time.fromisoformat(value), kind)
    if not pyarrow.types.is_timestamp(kind):
        return value
    moment = datetime.fromisoformat(value)
    if kind.tz is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(kind.tz))
    elif kind.tz is None and moment.tzinfo is not None:
        raise TypeError(f"{value!r} has a time zone, and the column has none")
    return pyarrow.scalar(moment, kind)
