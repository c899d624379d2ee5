"""Turns what msgspec says about a request body into the vendors' words."""

import re
from typing import Final, TypeVar

import msgspec

from batchata.gateway.wire.errors import RefusedError, invalid

T = TypeVar("T")

INDEX: Final = re.compile(r"\[(\d+)\]")
PATH: Final = re.compile(r" - at `\$\.?(?P<path>.*)`$")
UNKNOWN: Final = re.compile(r"contains unknown field `(?P<name>.*?)`")
MISSING: Final = re.compile(r"missing required field `(?P<name>.*?)`")


def read_openai(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body or refuse it as OpenAI does."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise _openai_problem(str(problem)) from None
    except msgspec.DecodeError:
        raise invalid("We could not parse the JSON body of your request.") from None


def read_anthropic(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body or refuse it as Anthropic does."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise _anthropic_problem(str(problem)) from None
    except msgspec.DecodeError as problem:
        raise invalid(f"The request body is not valid JSON: {problem}") from None


def _split(problem: str) -> tuple[str, str]:
    found = PATH.search(problem)
    path = found["path"].replace("[...]", "[0]") if found else ""
    return PATH.sub("", problem), path


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _openai_problem(problem: str) -> RefusedError:
    text, path = _split(problem)
    if found := UNKNOWN.search(text):
        where = _joined(path, found["name"])
        return invalid(f"Unknown parameter: '{where}'.", param=where, code="unknown_parameter")
    if found := MISSING.search(text):
        where = _joined(path, found["name"])
        return invalid(
            f"Missing required parameter: '{where}'.",
            param=where,
            code="missing_required_parameter",
        )
    code = "invalid_value" if "enum" in text else "invalid_type"
    return invalid(f"Invalid type for '{path}': {text}.", param=path or None, code=code)


def _anthropic_problem(problem: str) -> RefusedError:
    text, path = _split(problem)
    path = INDEX.sub(r".\1", path).lstrip(".")
    if found := UNKNOWN.search(text):
        return invalid(f"{_joined(path, found['name'])}: Extra inputs are not permitted")
    if found := MISSING.search(text):
        return invalid(f"{_joined(path, found['name'])}: Field required")
    return invalid(f"{path}: {text}" if path else text)
