"""Interceptors by name: our own, those of installed packages, and dotted paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeVar

from batchata.configs.wording import nearest
from batchata.core.errors import BatchataError, ValidationError
from batchata.gateway.proxy.config.options import checked_options
from batchata.gateway.proxy.interceptor import Interceptor

GROUP: Final = "batchata.interceptors"
_HOME: Final = "batchata.gateway.proxy.interceptors"
#: ours, named here so that they are found even where the package is not installed
OWN: Final = {
    "printer": f"{_HOME}.printer:Printer",
    "message_logger": f"{_HOME}.message_logger:MessageLogger",
    "event_recorder": f"{_HOME}.event_recorder:EventRecorder",
    "test_recorder": f"{_HOME}.test_recorder:TestRecorder",
    "trace_export": f"{_HOME}.trace_export:TraceExport",
    "parquet": f"{_HOME}.parquet:Parquet",
    "budget": f"{_HOME}.budget:Budget",
    "cache": f"{_HOME}.cache:Cache",
    "rate_limit": f"{_HOME}.rate_limit:RateLimit",
    "flex": f"{_HOME}.flex:Flex",
    "redact": f"{_HOME}.redact:Redact",
    "record": f"{_HOME}.record:Record",
    "replay": f"{_HOME}.replay:Replay",
}
_HINTS: Final = {
    "imported": "write package.module:Class for a module that Python can find and import",
    "made": "its __init__ takes options by name and gives them to super().__init__(**options)",
}
T = TypeVar("T")


def interceptor_names() -> frozenset[str]:
    """Names of all interceptors of this process."""
    return frozenset(OWN) | _installed().keys()


def interceptor_class(name: str) -> type[Interceptor]:
    """The class for a name or a dotted path `package.module:Class`; ValidationError if none."""
    path = OWN.get(name)
    if path is None and name in _installed():
        found: object = _done(name, "imported", _installed()[name].load)
    elif path is None and ":" not in name and "." not in name:
        known = sorted(interceptor_names())
        close = nearest(name, known)
        raise ValidationError(
            f"there is no interceptor {name!r}",
            hint=f"did you mean {close!r}?"
            if close
            else f"there are {', '.join(known)}; or write package.module:Class",
        )
    else:
        found = _done(path or name, "imported", partial(_imported, path or name))
    if not (isinstance(found, type) and issubclass(found, Interceptor)):
        raise ValidationError(
            f"{name!r} is not an interceptor",
            hint="subclass batchata.gateway.Interceptor and name the class",
        )
    return found


def check_interceptor(name: str, options: Mapping[str, Any], place: str) -> None:
    """Raise ValidationError for an unknown name or option, or a wrong value."""
    try:
        checked_options(interceptor_class(name), options)
    except ValidationError as error:
        raise ValidationError(f"{place}: {error.message}", hint=error.hint) from error


def make_interceptor(name: str, options: Mapping[str, Any]) -> Interceptor:
    """A new interceptor; ValidationError when it cannot be made, or an option cannot be used."""
    return _done(name, "made", partial(interceptor_class(name), **options))


def _imported(path: str) -> object:
    module, separator, attribute = path.partition(":")
    if not separator:
        module, _, attribute = path.rpartition(".")
    return getattr(import_module(module), attribute)


def _done(name: str, what: str, work: Callable[[], T]) -> T:
    """The result of the work; ValidationError if it fails in any way."""
    try:
        return work()
    except BatchataError:
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ValidationError(
            f"interceptor {name!r} cannot be {what}: {type(error).__name__}: {error}",
            hint=_HINTS[what],
        ) from error


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
