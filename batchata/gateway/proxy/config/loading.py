"""Builds a configuration from flags, file and environment; errors say where each mistake is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pydantic

from batchata.configs.variables import expanded
from batchata.configs.wording import nearest, place_text, wrong_value
from batchata.configs.yaml_file import YamlFile, read_yaml
from batchata.core.errors import ValidationError
from batchata.core.usage import rates_from_mapping
from batchata.gateway.proxy.config.model import GatewayConfig
from batchata.gateway.proxy.config.options import all_of
from batchata.gateway.proxy.config.registry import check_interceptor

#: environment variables and the keys they stand for
VARIABLES: Final = {
    "BATCHATA_PROXY_BASE_URL": ("llm", "base_url"),
    "BATCHATA_PROXY_TYPE": ("llm", "type"),
    "BATCHATA_PROXY_API_KEY": ("llm", "api_key"),
    "BATCHATA_PROXY_OUTBOUND_PROXY": ("llm", "outbound_proxy"),
    "BATCHATA_PROXY_HOST": ("server", "host"),
    "BATCHATA_PROXY_PORT": ("server", "port"),
    "BATCHATA_PROXY_CLIENT_TOKEN": ("server", "client_token"),
    "BATCHATA_PROXY_LOG_LEVEL": ("logging", "level"),
}
Tree = dict[str, Any]


def load_config(
    file: Path | None = None,
    flags: Mapping[tuple[str, str], Any] | None = None,
    *,
    interceptors: Iterable[Mapping[str, Any]] = (),
    environment: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> GatewayConfig:
    """Flags over file over environment over defaults; ValidationError says what is wrong where.

    `flags` are keyed by section and key. Each of `interceptors` overrides options of the file's
    only one of its type, or else comes before those of the file. `given` is the content of a file,
    as a mapping.
    """
    environment = os.environ if environment is None else environment
    tree: Tree = {}
    for name, (section, key) in VARIABLES.items():
        if environment.get(name):
            tree.setdefault(section, {})[key] = environment[name]
    read = None if file is None else read_yaml(file, first_key="llm", extra="gateway")
    written = expanded(dict(given or {}) if read is None else read.values, environment)
    written = {name: part for name, part in written.items() if _says_something(name, part)}
    if written.get("upstreams") and not written.get("llm"):
        tree.pop("llm", None)  # the file names its upstreams itself
    _merge(tree, written)
    flags = {place: value for place, value in (flags or {}).items() if value is not None}
    for (section, key), value in flags.items():
        _merge(tree, {section: {key: value}})
    added = list(interceptors)
    tree["interceptors"] = _joined(added, tree.get("interceptors") or [])
    if read is not None:
        read = read.without([*flags, ("interceptors",)] if added else flags)
    told = {
        place: name
        for name, place in VARIABLES.items()
        if environment.get(name) and place not in flags and not _is_in(written, place)
    }
    config = checked(tree, read, told)
    for name, rates in config.prices.items():
        rates_from_mapping(name, rates)
    all_of(
        partial(check_interceptor, each.type, each.config, f"interceptors[{number}]")
        for number, each in enumerate(config.interceptors)
    )
    return config


def unused_variables(config: GatewayConfig) -> list[str]:
    """Variables without effect, because the file names its upstreams itself."""
    if config.llm is not None:
        return []
    return [name for name, (part, _) in VARIABLES.items() if part == "llm" and os.environ.get(name)]


def _is_in(tree: Tree, place: tuple[str, str]) -> bool:
    section, key = place
    part = tree.get(section)
    return isinstance(part, Mapping) and key in part


def _says_something(name: str, part: Any) -> bool:
    """False for a known section that holds only comments."""
    return part is not None or name not in GatewayConfig.model_fields


def _joined(flags: Iterable[Mapping[str, Any]], written: Any) -> Any:
    """The interceptors of a file, with those of flags merged into them or put before them."""
    if not isinstance(written, list):
        return written
    added: list[Any] = []
    found: list[Any] = [{"type": each} if isinstance(each, str) else each for each in written]
    for flag in flags:
        same = [isinstance(each, dict) and each.get("type") == flag["type"] for each in found]
        if same.count(True) != 1:
            added.append(flag)
            continue
        place = same.index(True)
        options = found[place].get("config")
        options = {**(options if isinstance(options, dict) else {}), **flag.get("config", {})}
        found[place] = {"type": flag["type"], "config": options}
    return [*added, *found]


def checked(
    tree: Tree, file: YamlFile | None = None, told: Mapping[Any, str] | None = None
) -> GatewayConfig:
    """The configuration; ValidationError names each wrong key with what was probably meant.

    `file` gives their lines; `told` names the variables of the environment by what they set.
    """
    try:
        return GatewayConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        problems = [_problem_text(each, file, told or {}) for each in error.errors()]
        what = "the configuration" if file is None else file.path
        raise ValidationError(
            f"{what} cannot be used: " + "; ".join(problems),
            hint="batchata proxy generate-config FILE writes one with every key explained",
        ) from None  # its text quotes the values, keys among them


def _problem_text(
    problem: Mapping[str, Any], file: YamlFile | None, told: Mapping[Any, str]
) -> str:
    place = problem["loc"][:-1] if problem["type"] == "missing" else problem["loc"]
    if place in told:
        return f"{told[place]}: {_said(problem)}"
    line = None if file is None else file.line_of(place)
    return ("" if line is None else f"line {line}: ") + _said(problem)


def _said(problem: Mapping[str, Any]) -> str:
    place = place_text(problem["loc"])
    if problem["type"] == "value_error":  # one of our own
        said = str(problem["msg"]).removeprefix("Value error, ")
        return f"{place}: {said}" if place else said
    if problem["type"] != "extra_forbidden":
        return f"{place} {wrong_value(problem)}"
    *sections, key = problem["loc"]
    return f"unknown key {place!r}{_suggestion(str(key), _keys(sections))}"


def _suggestion(word: str, known: Iterable[str]) -> str:
    """The key that was probably meant, or else all there are."""
    close = nearest(word, known)
    return f" (did you mean {close!r}?)" if close else f" (there are {', '.join(sorted(known))})"


def _keys(sections: Iterable[str | int]) -> list[str]:
    model: Any = GatewayConfig
    for part in sections:
        if not isinstance(part, int):
            model = _section(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    inner = (_section(each) for each in getattr(annotation, "__args__", ()))
    return next((each for each in inner if each is not None), None)


def _merge(tree: Tree, over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value
