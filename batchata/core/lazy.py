"""Names of a package that are imported when they are first used, so that importing it is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from batchata.core.errors import ValidationError


def lazy_exports(
    package: str, homes: Mapping[str, str], *, extra: str | None = None
) -> Callable[[str], Any]:
    """The `__getattr__` of a package; `homes` has the module of each name, `.relative` or whole.

    A library that is missing is an error that says which `extra` of batchata brings it.
    """

    def load(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(home, package), name)
        except ModuleNotFoundError as error:
            if extra is None:
                raise
            raise ValidationError(
                f"{package}.{name} needs {error.name}, which is not installed",
                hint=f"pip install 'batchata[{extra}]'",
            ) from error

    return load
