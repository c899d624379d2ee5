"""Options of interceptors: known names, with values of the annotated types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Protocol, get_type_hints

import pydantic

from batchata.configs.wording import nearest, wrong_value
from batchata.core.errors import ValidationError


class HasOptions(Protocol):
    """A class that names its options and their defaults."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]]


def checked_options(kind: type[HasOptions], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options as their annotated types: a number given as text becomes a number.

    Raises ValidationError for an unknown option, and for a value of another type.
    """
    found: dict[str, Any] = {}

    def take(name: str, value: Any) -> None:
        found[name] = _checked(kind, name, value)

    all_of(partial(take, name, value) for name, value in given.items())
    return found


def all_of(checks: Iterable[Callable[[], object]]) -> None:
    """Run all checks; one ValidationError names everything that is wrong."""
    errors: list[ValidationError] = []
    for check in checks:
        try:
            check()
        except ValidationError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        told = [f"{each.message} ({each.hint})" if each.hint else each.message for each in errors]
        raise ValidationError("; ".join(told))


def check_hooks(kind: type, like: type, hooks: Iterable[str]) -> None:
    """Raise ValidationError for a hook that cannot be awaited or called as `like`'s is."""
    for name in hooks:
        hook, wanted = inspect.unwrap(getattr(kind, name)), getattr(like, name)
        if hook is wanted or not inspect.isfunction(hook):
            continue
        if not inspect.iscoroutinefunction(hook):
            raise ValidationError(
                f"{name} of {kind.__name__} cannot be awaited", hint=f"write async def {name}"
            )
        asked = inspect.signature(wanted)
        try:
            inspect.signature(hook).bind(*asked.parameters)
        except TypeError as error:
            raise ValidationError(
                f"{name} of {kind.__name__} does not take the gateway's arguments: {error}",
                hint=f"write async def {name}({', '.join(asked.parameters)})",
            ) from error


def _checked(kind: type[HasOptions], option: str, value: Any) -> Any:
    who, known = kind.name or kind.__name__, kind.options
    if option not in known:
        close = nearest(option, known)
        raise ValidationError(
            f"{who} has no option {option!r}",
            hint=f"did you mean {close!r}?"
            if close
            else f"it has {', '.join(sorted(known)) or 'none'}",
        )
    wanted = _type_of(kind, option)
    if wanted is None or (value is None and known[option] is None):
        return value
    try:
        return pydantic.TypeAdapter(wanted).validate_python(value)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        place = option + "".join(f"[{each}]" for each in problem["loc"] if isinstance(each, int))
        default = known[option]
        usual = list(default) if isinstance(default, tuple) else default
        raise ValidationError(
            f"{who}: {place} {wrong_value(problem)}",
            hint=None if default is None else f"the default is {usual!r}",
        ) from None


def _type_of(kind: type[HasOptions], option: str) -> Any:
    """The annotated type of an option; None where nothing is annotated."""
    try:
        return get_type_hints(kind, include_extras=True).get(option)
    except NameError:  # a user's class, whose types are imported for type checkers only
        return None
