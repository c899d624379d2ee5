"""Cuts a table into chunks of formatted rows, and makes the short hash of a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from batchata.core.job import check_number
from batchata.rows.table import Table


def compute_prompt_hash(prompt: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the prompt: the same on every machine."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


class DataFrameIterator:
    """Chunks of `{"input_id": ..., "input_text": ...}`; can be iterated over repeatedly."""

    def __init__(
        self,
        dataframe: Any,
        id_col: str,
        text_col: str,
        chunk_size: int = 5,
        formatted_id_col: str = "input_id",
        formatted_text_col: str = "input_text",
    ) -> None:
        check_number("chunk_size", chunk_size, least=1, whole=True)
        self.dataframe = dataframe
        self.id_col = id_col
        self.text_col = text_col
        self.chunk_size = chunk_size
        self.formatted_id_col = formatted_id_col
        self.formatted_text_col = formatted_text_col
        self._table = Table(dataframe)
        self._table.check([id_col, text_col])
        self._chunks: Iterator[list[dict[str, str]]] = self._cut()

    def __iter__(self) -> DataFrameIterator:
        self._chunks = self._cut()
        return self

    def __next__(self) -> list[dict[str, str]]:
        return next(self._chunks)

    def __len__(self) -> int:
        return -(-len(self._table) // self.chunk_size)

    def _cut(self) -> Iterator[list[dict[str, str]]]:
        chunk: list[dict[str, str]] = []
        for row in self._table.rows([self.id_col, self.text_col]):
            chunk.append(
                {
                    self.formatted_id_col: str(row[self.id_col]),
                    self.formatted_text_col: str(row[self.text_col]),
                }
            )
            if len(chunk) == self.chunk_size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk
