"""`${NAME}` in configuration files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from batchata.core.errors import ValidationError

_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
#: how a shell would write one, and not these files
_BARE: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


def expanded(value: Any, environment: Mapping[str, str], place: str = "") -> Any:
    """`${NAME}` and `${NAME:-default}` put in, in all text; `$$` is a dollar sign."""
    if isinstance(value, dict):
        return {
            key: expanded(each, environment, f"{place}.{key}" if place else str(key))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [
            expanded(each, environment, f"{place}[{number}]") for number, each in enumerate(value)
        ]
    return _put_in(value, environment, place) if isinstance(value, str) else value


def escaped(value: Any) -> Any:
    """The same value, so that `expanded` gives it back."""
    if isinstance(value, dict):
        return {key: escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [escaped(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _put_in(text: str, environment: Mapping[str, str], place: str) -> str:
    if _BARE.fullmatch(text):
        raise ValidationError(
            f"{place} is {text!r}, which stands for itself",
            hint=f"write ${{{text[1:]}}} for the variable, or ${text} for the text",
        )

    def value_of(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name is None:
            return "$"
        found = environment.get(name) or default
        if found is None:
            raise ValidationError(
                f"{place} asks for ${{{name}}}, which is not set",
                hint=f"export {name}=..., or write ${{{name}:-default}}",
            )
        return found

    return _VARIABLE.sub(value_of, text)
