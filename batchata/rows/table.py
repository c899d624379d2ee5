"""Reads and writes pandas, polars and arrow tables alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from batchata.core.errors import ValidationError
from batchata.rows.columns import fitting, pandas_dtype

_READ_AT_ONCE: Final = 1_000
#: libraries for a new table; the first one installed wins
_KINDS: Final = ("pandas", "polars", "pyarrow")


class _Void(NamedTuple):
    """The type of a column without values, per library."""

    pandas: str
    narwhals: str


_VOID: Final = {
    str: _Void("object", "String"),
    int: _Void("Int64", "Int64"),
    float: _Void("float64", "Float64"),
    bool: _Void("boolean", "Boolean"),
}


class Table:
    """A table of one of these kinds; whatever is made from it is of the same kind."""

    def __init__(self, native: Any) -> None:
        nw = _narwhals()
        self._columns: dict[str, Any] = {}
        try:
            self._frame: Any = nw.from_native(native, eager_only=True)
        except TypeError as error:
            raise ValidationError(
                f"{type(native).__name__} is not a table",
                hint="give a pandas, polars or arrow table (a lazy one: .collect() it first)",
            ) from error
        except nw.exceptions.DuplicateError as error:
            counted = ", ".join(line.lstrip("- ") for line in str(error).splitlines()[1:])
            raise ValidationError(
                f"the table has columns of the same name: {counted}",
                hint="rename them: there is no telling which one is meant",
            ) from error

    @property
    def native(self) -> Any:
        """The table as an object of its own library."""
        return self._frame.to_native()

    @property
    def columns(self) -> list[str]:
        """Names of the columns, as text."""
        return [str(name) for name in self._frame.columns]

    def __len__(self) -> int:
        return len(self._frame)

    def check(self, names: Sequence[str]) -> None:
        """Raise ValidationError for a name that is not a column."""
        for name in names:
            if name not in self._frame.columns or not isinstance(name, str):
                hint = f"its columns are: {', '.join(self.columns) or 'none'}"
                if str(name) in self.columns:
                    hint = "its names are not text: df.columns = df.columns.astype(str)"
                elif name in getattr(getattr(self.native, "index", None), "names", ()):
                    hint = f"{name!r} is its index: give df.reset_index()"
                raise ValidationError(f"the table has no column {name!r}", hint=hint)

    def rows(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows with these columns, a few in memory at a time."""
        part = self._frame.select(names)
        return iter(part.iter_rows(named=True, buffer_size=_READ_AT_ONCE))

    def tuples(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows as tuples of these columns, a few in memory at a time."""
        self.check(names)
        return self._tuples(names)

    def _tuples(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(self), _READ_AT_ONCE):
            part = self._frame[start : start + _READ_AT_ONCE]
            yield from zip(*(part[name].to_list() for name in names), strict=True)

    def values(self, name: str, numbers: Sequence[int]) -> list[Any]:
        """The values of one column in these rows."""
        values: list[Any] = self._column(name)[list(numbers)].to_list()
        return values

    def _column(self, name: str) -> Any:
        """A column that rows can be taken from, which pyarrow cannot do with string views."""
        if name not in self._columns:
            column = self._frame[name]
            if str(getattr(column.to_native(), "type", "")) == "string_view":
                plain = column.to_native().cast("large_string")
                column = _narwhals().from_native(plain, series_only=True)
            self._columns[name] = column
        return self._columns[name]

    def renamed(self, names: Mapping[str, str]) -> Table:
        """Only these columns, under their new names."""
        return Table(self._frame.select(list(names)).rename(dict(names)).to_native())

    def with_columns(
        self, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, type] | None = None
    ) -> Any:
        """The table, of its own kind, with more columns; empty ones get their type from `kinds`."""
        known = kinds or {}
        made = [self._series(name, values, known.get(name)) for name, values in columns.items()]
        return self._frame.with_columns(*made).to_native()

    def _series(self, name: str, values: Sequence[Any], kind: type | None) -> Any:
        nw, library = _narwhals(), self._frame.implementation
        void = _VOID.get(kind) if kind and all(value is None for value in values) else None
        if library.is_pandas_like():
            dtype = void.pandas if void else pandas_dtype(values)
            native = self._frame.to_native()
            series = library.to_native_namespace().Series
            made = series(values, name=name, index=native.index, dtype=dtype)
            return nw.from_native(made, series_only=True)
        dtype = getattr(nw, void.narwhals) if void else None
        return nw.new_series(name, fitting(values), dtype, backend=library)


def is_table(value: object) -> bool:
    """True for what `Table` accepts, told without importing any library."""
    module = type(value).__module__.partition(".")[0]
    return module in (*_KINDS, "narwhals", "modin", "cudf")


def table_of(columns: Mapping[str, Sequence[Any]]) -> Table:
    """A table of these columns, made with the first library installed."""
    for name in _KINDS:
        try:
            library = import_module(name)
        except ImportError:
            continue
        if name == "pandas":
            made = {
                key: library.Series(values, dtype=pandas_dtype(values))
                for key, values in columns.items()
            }
            return Table(library.DataFrame(made, columns=list(columns)))
        fitted = {key: fitting(values) for key, values in columns.items()}
        return Table(library.table(fitted) if name == "pyarrow" else library.DataFrame(fitted))
    raise ValidationError(
        "a table needs pandas, polars or pyarrow, and none is installed",
        hint="pip install 'batchata[frames]'",
    )


def _narwhals() -> Any:
    try:
        return import_module("narwhals")
    except ImportError as error:
        raise ValidationError(
            "tables need narwhals, which is not installed", hint="pip install 'batchata[frames]'"
        ) from error
