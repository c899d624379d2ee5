"""Files of rows as tables: read a row at a time, as often as need be, and never held."""

from __future__ import annotations

import contextlib
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

from batchata.core.errors import ResultsError, ValidationError
from batchata.core.template import is_missing, text_of
from batchata.rows.files import Row, read_rows

#: half a surrogate pair, which JSON can name, must come back as it was
_BROKEN = "surrogatepass"


class FileTable:
    """The rows of a file, and their texts in a nameless file in `folder`, where jobs find them.

    Raises ValidationError when the file has no rows. A context manager: it lets go of the texts.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        if path.exists() and not path.is_file():
            raise ValidationError(
                f"{path} is not a file, and its rows are read more than once",
                hint="write the rows to a file first",
            )
        self.path = path
        self._seen = _stamp(path)
        self.columns = list(dict.fromkeys(str(name) for _, row in read_rows(path) for name in row))
        self._texts = _Texts(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.close()

    def id_column(self, given: str | None) -> str | None:
        """The column of ids; None where rows are numbered."""
        if given is not None:
            self._check(given)
            return given
        return "id" if "id" in self.columns else None

    def pairs(self, id_column: str | None, text_column: str) -> Iterator[tuple[Any, Any]]:
        """Id and text of each row; ValidationError when there are no such texts."""
        self._check(text_column)
        for number, row in enumerate(self.rows(), 1):
            text = row.get(text_column)
            self._texts.add("" if is_missing(text) else text_of(text))
            yield (number if id_column is None else row.get(id_column)), text

    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The texts of these rows, which `pairs` has read."""
        return [self._texts.at(number) for number in numbers]

    def rows(self) -> Iterator[Row]:
        """The rows; ValidationError when the file is not what it was."""
        if _stamp(self.path) != self._seen:
            raise ValidationError(
                f"{self.path} was changed while its rows were asked about",
                hint="run the same command again: answers to rows that are as they were are kept",
            )
        for _, row in read_rows(self.path):
            yield row

    def _check(self, column: str) -> None:
        if column not in self.columns:
            raise ValidationError(
                f"{self.path} has no column {column!r}",
                hint=f"its columns are: {', '.join(self.columns) or 'none'}",
            )


class _Texts:
    """Texts by their numbers, on disk: eight bytes of each are held in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._reported():
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._ends = array("Q", [0])

    def add(self, text: str) -> None:
        data = text.encode("utf-8", _BROKEN)
        with self._reported():
            self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def at(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        with self._reported():
            self._file.seek(start)
            return self._file.read(end - start).decode("utf-8", _BROKEN)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of what was not written, because the disk is full
            self._file.close()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultsError(
                f"texts cannot be kept in {str(self._folder)!r}: {error.strerror or error}",
                hint="make some space and run the same command again: nothing is paid twice",
            ) from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
