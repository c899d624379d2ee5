"""`${NAME}` in configuration files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from batchata.core.errors import ValidationError

_VARIABLE: Final = re.compile(
    r"\$\$|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?|\$([A-Z][A-Z0-9_]*)"
)
#: how a shell would write one, and not these files
_BARE: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


def expanded(value: Any, environment: Mapping[str, str], place: str = "") -> Any:
    """`${NAME}` and `${NAME:-default}` put in, in all text; `$$` is a dollar sign.

    Raises ValidationError for a variable that is not set, and for what only looks like one.
    """
    if isinstance(value, dict):
        places = {key: f"{place}.{key}" if place else str(key) for key in value}
        return {
            expanded(key, environment, places[key]): expanded(each, environment, places[key])
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [
            expanded(each, environment, f"{place}[{number}]") for number, each in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    if _BARE.fullmatch(value):
        raise _unbraced(place, value[1:])
    return _VARIABLE.sub(partial(_put_in, environment=environment, place=place), value)


def escaped(value: Any) -> Any:
    """The same value, so that `expanded` gives it back."""
    if isinstance(value, dict):
        return {escaped(key): escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [escaped(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _put_in(match: re.Match[str], environment: Mapping[str, str], place: str) -> str:
    name, default, bare = match.groups()
    if match[0] == "$$":
        return "$"
    if bare is not None:
        if bare in environment:
            raise _unbraced(place, bare)
        return match[0]
    if name is None or "${" in (default or ""):  # not what follows: there may be a key in it
        raise ValidationError(
            f"{place} has a ${{ that begins no variable",
            hint="write ${NAME} or ${NAME:-default}, with letters, digits and _ in the name and no "
            "variable in the default, and $${ for the text",
        )
    found = environment.get(name) or default
    if found is None:
        raise ValidationError(
            f"{place} asks for ${{{name}}}, which is not set",
            hint=f"export {name}=..., or write ${{{name}:-default}}",
        )
    return found


def _unbraced(place: str, name: str) -> ValidationError:
    return ValidationError(
        f"{place} has '${name}', which stands for itself",
        hint=f"write ${{{name}}} for the variable, or $${name} for the text",
    )
