"""A YAML file of sections with keys, and the line that each of them stands in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchata.core.errors import ValidationError

#: the keys and list positions that lead to a value
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a configuration file says, and where."""

    path: Path
    values: dict[str, Any]
    lines: dict[Place, int]  #: from 1
    overridden: frozenset[Place] = field(default_factory=frozenset)

    def without(self, places: Collection[Place]) -> YamlFile:
        """The file where something else has the last word on these places."""
        return replace(self, overridden=self.overridden.union(places))

    def line_of(self, place: Place) -> int | None:
        """The line of a place; None where the file does not say it, or not with the last word."""
        ways = (place[:length] for length in range(1, len(place) + 1))
        return self.lines.get(place) if self.overridden.isdisjoint(ways) else None


def read_yaml(path: Path, *, first_key: str, extra: str) -> YamlFile:
    """The sections of a YAML file, which must not say anything twice.

    Raises ValidationError, which never quotes the file: the line may be the one with a secret.
    `first_key` and `extra` (of our own package, for PyYAML) are for its hints.
    """
    try:
        import yaml
    except ImportError as error:
        raise ValidationError(
            "a configuration file needs PyYAML, which is not installed",
            hint=f"pip install 'batchata[{extra}]'",
        ) from error
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ValidationError(
            f"{path} cannot be read: {error.strerror or error}", hint="--config names a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}", hint="save it as UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise _no_yaml(path, error) from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ValidationError(
            f"{path} holds a {type(values).__name__}, not sections with keys",
            hint=f"it begins with `{first_key}:`",
        )
    return YamlFile(path, values, dict(_lines(path, node, (), ())))


def _no_yaml(path: Path, error: Exception) -> ValidationError:
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    said = getattr(error, "problem", None) or type(error).__name__
    return ValidationError(
        f"{path} is no YAML: {said}{where}",
        hint='within braces, quotes are needed: {api_key: "${OPENAI_API_KEY}"}',
    )


def _lines(
    path: Path, node: Any, place: Place, above: tuple[Any, ...]
) -> Iterator[tuple[Place, int]]:
    """Places below a node with their lines; ValidationError for a key that is there twice."""
    if node is None or isinstance(node.value, str) or node in above:
        return
    above = (*above, node)
    if node.id == "sequence":
        for number, each in enumerate(node.value):
            yield (*place, number), each.start_mark.line + 1
            yield from _lines(path, each, (*place, number), above)
        return
    seen = set[str]()
    for key, value in node.value:
        if isinstance(key.value, str):
            if key.value in seen:
                raise ValidationError(
                    f"{path} has {key.value!r} twice in one place, the second time in line "
                    f"{key.start_mark.line + 1}: only one of them would hold",
                    hint="join them",
                )
            seen.add(key.value)
            yield (*place, key.value), key.start_mark.line + 1
            yield from _lines(path, value, (*place, key.value), above)
