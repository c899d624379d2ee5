"""From flags, file and environment to a configuration; every mistake is named with its place."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pydantic

from batchata.core.errors import ValidationError
from batchata.core.twice import twice_in
from batchata.gateway.proxy.config.model import GatewayConfig
from batchata.gateway.proxy.config.registry import check_interceptor
from batchata.gateway.proxy.config.wording import wrong_value

_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
#: how a shell would write one, and not this file
_BARE: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
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

    `flags` are by section and key; the options of `interceptors` go over those of the file's one of
    that type, and others come before those of the file; `given` is what a file would hold, as a
    mapping.
    """
    environment = os.environ if environment is None else environment
    tree: Tree = {}
    for name, (section, key) in VARIABLES.items():
        if environment.get(name):
            tree.setdefault(section, {})[key] = environment[name]
    written = expanded(dict(given or {}) if file is None else read_yaml(file), environment)
    written = {name: part for name, part in written.items() if part is not None}  # only comments
    if written.get("upstreams") and not written.get("llm"):
        tree.pop("llm", None)  # the file names its upstreams itself
    _merge(tree, written)
    for (section, key), value in (flags or {}).items():
        if value is not None:
            _merge(tree, {section: {key: value}})
    tree["interceptors"] = _joined(interceptors, tree.get("interceptors") or [])
    config = checked(tree)
    for number, each in enumerate(config.interceptors):
        check_interceptor(each.type, each.config, f"interceptors[{number}]")
    return config


def _joined(flags: Iterable[Mapping[str, Any]], written: Any) -> Any:
    """The interceptors of a file, with those of flags over them or before them."""
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


def read_yaml(file: Path) -> Tree:
    """The mapping that a YAML file holds; ValidationError when it holds none."""
    try:
        import yaml
    except ImportError as error:
        raise ValidationError(
            "a configuration file needs PyYAML, which is not installed",
            hint="pip install 'batchata[gateway]'",
        ) from error
    try:
        text = file.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
        twice = twice_in(yaml.compose(text, Loader=yaml.SafeLoader))
    except OSError as error:
        raise ValidationError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # the parser quotes the line, which may be the one with the key
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        said = getattr(error, "problem", None) or type(error).__name__
        raise ValidationError(
            f"{file} is no YAML: {said}{where}",
            hint='within braces, quotes are needed: {api_key: "${OPENAI_API_KEY}"}',
        ) from None
    if twice is not None:
        raise ValidationError(
            f"{file} has {twice.value!r} twice in one place, the second time in line "
            f"{twice.start_mark.line + 1}: only one of them would hold",
            hint="join them",
        )
    if not isinstance(found or {}, dict):
        raise ValidationError(f"{file} holds a {type(found).__name__}, not sections with keys")
    return found or {}


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
    if not isinstance(value, str):
        return value

    if _BARE.fullmatch(value):
        raise ValidationError(
            f"{place} is {value!r}, which stands for itself",
            hint=f"write ${{{value[1:]}}} for the variable, or ${value} for the text",
        )

    def put_in(match: re.Match[str]) -> str:
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

    return _VARIABLE.sub(put_in, value)


def checked(tree: Tree) -> GatewayConfig:
    """The configuration; ValidationError names each wrong key with what was probably meant."""
    try:
        return GatewayConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        problems = [_problem_text(each) for each in error.errors()]
        raise ValidationError(
            "the configuration cannot be used: " + "; ".join(problems),
            hint="batchata proxy generate-config FILE writes one with every key explained",
        ) from None  # where the values stand, and keys among them


def _problem_text(problem: Mapping[str, Any]) -> str:
    place = ""
    for part in problem["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if problem["type"] == "value_error":  # one of our own
        said = str(problem["msg"]).removeprefix("Value error, ")
        return f"{place}: {said}" if place else said
    if problem["type"] != "extra_forbidden":
        return f"{place} {wrong_value(problem)}"
    *sections, key = problem["loc"]
    return f"unknown key {place!r}{suggestion(str(key), _keys(sections))}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """What was probably meant, or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (there are {', '.join(names)})"


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
