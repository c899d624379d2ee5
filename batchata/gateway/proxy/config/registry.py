"""Interceptors by name: our own, those of installed packages, and dotted paths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from batchata.configs.wording import nearest
from batchata.core.errors import ValidationError
from batchata.gateway.proxy.config.options import checked_options
from batchata.gateway.proxy.interceptor import Interceptor

GROUP: Final = "batchata.interceptors"
_HOME: Final = "batchata.gateway.proxy.interceptors"
#: ours, so that they are there also where the package runs without being installed
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


def interceptor_names() -> frozenset[str]:
    """Names of all interceptors of this process."""
    return frozenset(OWN) | _installed().keys()


def interceptor_class(name: str) -> type[Interceptor]:
    """The class of a name or a dotted path `package.module:Class`; ValidationError without one."""
    path = OWN.get(name)
    if path is None and name in _installed():
        found: object = _installed()[name].load()
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
        found = _imported(path or name)
    if not (isinstance(found, type) and issubclass(found, Interceptor)):
        raise ValidationError(
            f"{name!r} is no interceptor",
            hint="subclass batchata.gateway.Interceptor and name the class",
        )
    return found


def check_interceptor(name: str, options: Mapping[str, Any], place: str) -> None:
    """Raise ValidationError for a name or an option that is not known, or a wrong value."""
    try:
        checked_options(interceptor_class(name), options)
    except ValidationError as error:
        raise ValidationError(f"{place}: {error.message}", hint=error.hint) from error


def make_interceptor(name: str, options: Mapping[str, Any]) -> Interceptor:
    """A new interceptor; ValidationError when an option cannot be used."""
    return interceptor_class(name)(**options)


def _imported(path: str) -> object:
    module, separator, attribute = path.partition(":")
    if not separator:
        module, _, attribute = path.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValidationError(
            f"interceptor {path!r} cannot be imported: {error}",
            hint="write package.module:Class of a module that Python finds",
        ) from error


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
