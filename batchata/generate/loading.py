"""A config from flags, a file, the environment and defaults, in this order of precedence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pydantic

from batchata.configs.variables import escaped, expanded
from batchata.configs.wording import nearest, place_text, wrong_value
from batchata.configs.yaml_file import YamlFile, read_yaml
from batchata.core.errors import ValidationError
from batchata.generate.config import Config, ModelConfig, Section

log = logging.getLogger("batchata.generate")

_PREFIX: Final = "BATCHATA_"
_STRAY: Final = "enable_thinking"
#: similarity from which a name is taken for a typo of another
_ALIKE: Final = 0.6
#: how pydantic's own parts of an error's location begin: which of several types was tried
_TYPES: Final = ("function-", "list[", "dict[", "float", "json-or-python")
Values = dict[str, dict[str, Any]]


def load_config(
    path: Path | str | None = None,
    flags: Mapping[tuple[str, str], Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The config from a YAML file, the environment and flags; these are by (section, key).

    Raises ValidationError for anything unusable, with the key and what was probably meant.
    """
    values, file = _merged(path, flags or {}, environment)
    return _checked(values, file)


def load_model_config(
    path: Path | str | None = None, flags: Mapping[tuple[str, str], Any] | None = None
) -> ModelConfig:
    """The section `model` alone, for when there are no rows to ask about."""
    values, file = _merged(path, flags or {}, None)
    _refuse_unknown(values, file)
    try:
        return ModelConfig.model_validate(values["model"])
    except pydantic.ValidationError as error:
        raise _config_error(error, file, ("model",)) from None


def make_config(values: Mapping[str, Any]) -> Config:
    """The config made of these sections; ValidationError for what cannot be used."""
    return _checked(values, None)


def _checked(values: Mapping[str, Any], file: YamlFile | None) -> Config:
    values = _without_old_spelling(values)
    _refuse_unknown(values, file)
    try:
        return Config.model_validate(values)
    except pydantic.ValidationError as error:
        raise _config_error(error, file) from None  # where the values stand, and keys among them


def _merged(
    path: Path | str | None,
    flags: Mapping[tuple[str, str], Any],
    environment: Mapping[str, str] | None,
) -> tuple[Values, YamlFile | None]:
    environment = os.environ if environment is None else environment
    values = _from_environment(environment)
    file = None
    if path is not None:
        file = read_yaml(Path(path), first_key="data", extra="generate").without(flags)
        for section, keys in _sections_of(file, environment).items():
            values.setdefault(section, {}).update(keys)
    for (section, key), value in flags.items():
        values.setdefault(section, {})[key] = value
    model = values.setdefault("model", {})
    if not model.get("url") and not model.get("provider") and environment.get("OPENAI_BASE_URL"):
        # the key goes with the address: no other server is told it
        model["url"] = environment["OPENAI_BASE_URL"]
        model.setdefault("api_key", environment.get("OPENAI_API_KEY"))
    return values, file


def _sections_of(file: YamlFile, environment: Mapping[str, str]) -> Values:
    """A file's sections; variables are filled in only below `model`: prompts may say `${price}`."""
    values = _without_old_spelling(file.values)
    for name, keys in values.items():
        if keys is None:
            values[name] = {}
        elif not isinstance(keys, dict):
            known = name in Config.model_fields
            hint = f"write its keys below `{name}:`" if known else _hint(str(name))
            raise ValidationError(f"{file.path}: {name!r} is not a section", hint=hint)
    if "model" in values:
        values["model"] = expanded(values["model"], environment, "model")
    return values


def to_yaml(config: Config) -> str:
    """The config as YAML that `load_config` reads, without API keys and headers."""
    import yaml

    values = config.model_dump(mode="json", exclude_defaults=True)
    for secret in ("api_key", "headers"):
        values.get("model", {}).pop(secret, None)
    urls = values.get("model", {}).get("url")
    if urls and len(urls) == 1:
        values["model"]["url"] = urls[0]
    if "model" in values:
        values["model"] = escaped(values["model"])
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Names and classes of the config's sections."""
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def _without_old_spelling(values: Mapping[str, Any]) -> dict[str, Any]:
    """Moves a top-level `enable_thinking`, as in earlier configs, into its section."""
    found = dict(values)
    said = found.pop(_STRAY, None)
    if said is not None and not isinstance(said, dict):
        log.warning("%s is read as generation.%s: move it there", _STRAY, _STRAY)
        found["generation"] = {_STRAY: said, **(found.get("generation") or {})}
    return found


def _from_environment(environment: Mapping[str, str]) -> Values:
    values: Values = {}
    for section, kind in sections():
        for key in kind.model_fields:
            said = environment.get(f"{_PREFIX}{section}_{key}".upper())
            if said is not None:
                values.setdefault(section, {})[key] = _read(kind, key, said)
    return values


def _read(kind: type[Section], key: str, said: str) -> Any:
    """A text stays one if the key accepts text; else it is read as YAML."""
    if kind.model_fields[key].annotation in (str, str | None, Path, Path | None):
        return said
    import yaml

    try:
        return yaml.safe_load(said)
    except yaml.YAMLError:
        return said


def _refuse_unknown(values: Mapping[str, Any], file: YamlFile | None) -> None:
    known = dict(sections())
    for section, keys in values.items():
        if section not in known:
            raise ValidationError(
                f"{_line(file, section)}the config has no section {section!r}",
                hint=_hint(str(section)),
            )
        for key in keys:
            if key not in known[section].model_fields:
                raise ValidationError(
                    f"{_line(file, section, key)}the config has no key {section}.{key}",
                    hint=_hint(str(key), section),
                )


def _line(file: YamlFile | None, *place: str | int) -> str:
    line = None if file is None else file.line_of(place)
    return "" if file is None or line is None else f"{file.path} line {line}: "


def _hint(name: str, section: str | None = None) -> str:
    """The closest key, in its own section first; else the keys there are."""
    known = dict(sections())
    names = [*known] if section is None else [*known[section].model_fields]
    if close := nearest(name, names, _ALIKE):
        return f"did you mean {close if section is None else f'{section}.{close}'}?"
    everywhere = [f"{part}.{key}" for part, kind in known.items() for key in kind.model_fields]
    there = [each for each in everywhere if each.partition(".")[2] == name]
    if close := next(iter(there), None) or nearest(name, everywhere, _ALIKE):
        return f"did you mean {close}?"
    where = "its sections are" if section is None else f"keys of {section} are"
    return f"{where} {', '.join(names)}"


def _config_error(
    error: pydantic.ValidationError, file: YamlFile | None, section: tuple[str, ...] = ()
) -> ValidationError:
    problems = error.errors()
    # of the types a value may have, the one it came furthest with
    first = max((each for each in problems if _key(each) == _key(problems[0])), key=_depth)
    others = {_key(each) for each in problems} - {_key(first)}
    place = (*section, *(each for each in first["loc"] if not str(each).startswith(_TYPES)))
    name = place_text(place)
    if first["type"] == "missing":
        message = f"the config does not set {name}"
    elif first["type"] == "value_error":
        said = first["msg"].removeprefix("Value error, ")
        message = f"{name}: {said}" if name else said
    else:
        message = f"{name} {wrong_value(first)}"
    more = f" (and {len(others)} more)" if others else ""
    hint = "batchata generate --help names all flags; the reference page all keys"
    if place == ("data",) and first["type"] == "missing":
        hint = (
            "write data:, and below it input_path: rows.parquet and output_path: out.parquet"
            if file is not None
            else "give --config FILE, or --input rows.parquet and --output out.parquet"
        )
    stands = place[:-1] if first["type"] == "missing" else place
    return ValidationError(_line(file, *stands) + message + more, hint=hint)


def _key(problem: Mapping[str, Any]) -> tuple[str | int, ...]:
    return tuple(problem["loc"][:2])


def _depth(problem: Mapping[str, Any]) -> int:
    return len(problem["loc"])
