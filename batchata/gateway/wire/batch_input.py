"""Checks the input file of an OpenAI batch, as its `validating` state does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from batchata.gateway.wire.errors import RefusedError
from batchata.gateway.wire.openai import BATCH_LINE, BatchLine

ERRORS_SHOWN: Final = 100


class _BodyHead(msgspec.Struct):
    """The part of a body that validation reads."""

    model: str
    stream: bool | None = None


_HEAD: Final = msgspec.json.Decoder(_BodyHead)


@dataclass(slots=True, kw_only=True)
class FileError:
    """Why an OpenAI input file was refused."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class InputCheck:
    """Checks the lines of one input file; without `check_model` any model is accepted.

    `check_model` raises RefusedError for a model that does not exist.
    """

    def __init__(self, endpoint: str, check_model: Callable[[str], None] | None = None) -> None:
        self._endpoint = endpoint
        self._check_model = check_model
        self._ids: set[str] = set()
        self._errors: list[FileError] = []
        self.model: str | None = None

    @property
    def count(self) -> int:
        """How many requests there are."""
        return len(self._ids)

    def line(self, number: int, raw: bytes) -> BatchLine | None:
        """Check one line; None when it cannot be read, or is no longer checked."""
        if len(self._errors) >= ERRORS_SHOWN:
            return None
        try:
            line = BATCH_LINE.decode(raw)
        except msgspec.ValidationError as problem:
            self._add("invalid_request", number, f"This line is not a valid request: {problem}.")
            return None
        except msgspec.DecodeError:
            self._add("invalid_json_line", number, "This line is not parseable as valid JSON.")
            return None
        for code, message, param in self._line_problems(line):
            self._errors.append(FileError(code=code, line=number, message=message, param=param))
        return line

    def problems(self) -> list[FileError]:
        """List what is wrong with the file."""
        if not self._ids and not self._errors:
            return [FileError(code="empty_batch", message="The batch has no requests.")]
        return self._errors

    def _add(self, code: str, line: int, message: str) -> None:
        self._errors.append(FileError(code=code, line=line, message=message))

    def _line_problems(self, line: BatchLine) -> Iterator[tuple[str, str, str]]:
        if not line.custom_id:
            yield "invalid_request", "The custom_id of this request is empty.", "custom_id"
        if line.custom_id in self._ids:
            message = f"The custom_id '{line.custom_id}' for this request is a duplicate."
            yield "duplicate_custom_id", message, "custom_id"
        self._ids.add(line.custom_id)
        if line.method != "POST":
            yield "invalid_method", f"Invalid method '{line.method}', expected 'POST'.", "method"
        if line.url != self._endpoint:
            message = f"The URL '{line.url}' does not match the batch's '{self._endpoint}'."
            yield "url_mismatch", message, "url"
        yield from self._body_problems(line)

    def _body_problems(self, line: BatchLine) -> Iterator[tuple[str, str, str]]:
        try:
            head = _HEAD.decode(line.body)
        except msgspec.MsgspecError as problem:
            yield "invalid_request", f"The body is not valid: {problem}.", "body"
            return
        if head.stream:
            message = "Streaming is not supported in the Batch API."
            yield "invalid_request", message, "body.stream"
        if self.model is None:
            try:
                if self._check_model is not None:
                    self._check_model(head.model)
            except RefusedError as refused:
                yield "model_not_found", refused.error.message, "body.model"
            self.model = head.model
        elif head.model != self.model:
            message = f"All requests must use one model: '{head.model}' is not '{self.model}'."
            yield "model_mismatch", message, "body.model"
