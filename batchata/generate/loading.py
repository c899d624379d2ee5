"""A config from flags, a file, the environment and defaults, the first of them that says it."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pydantic

from batchata.core.errors import ValidationError
from batchata.core.twice import twice_in
from batchata.generate.config import Config, ModelConfig, Section

log = logging.getLogger("batchata.generate")

_PREFIX: Final = "BATCHATA_"
_STRAY: Final = "enable_thinking"
Values = dict[str, dict[str, Any]]


def load_config(
    path: Path | str | None = None,
    flags: Mapping[tuple[str, str], Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The config that flags, by (section, key), a YAML file and the environment make together.

    Raises ValidationError, naming the key and what may have been meant, for what cannot be used.
    """
    return make_config(_merged(path, flags or {}, environment))


def load_model_config(
    path: Path | str | None = None, flags: Mapping[tuple[str, str], Any] | None = None
) -> ModelConfig:
    """The section `model` alone, where no rows are asked about."""
    values = _merged(path, flags or {}, None)
    _refuse_unknown(values)
    try:
        return ModelConfig.model_validate(values["model"])
    except pydantic.ValidationError as error:
        raise _config_error(error) from error


def make_config(values: Mapping[str, Any]) -> Config:
    """The config of these sections; ValidationError for what cannot be used."""
    values = _without_old_spelling(values)
    _refuse_unknown(values)
    try:
        return Config.model_validate(values)
    except pydantic.ValidationError as error:
        raise _config_error(error) from error


def _merged(
    path: Path | str | None,
    flags: Mapping[tuple[str, str], Any],
    environment: Mapping[str, str] | None,
) -> Values:
    environment = os.environ if environment is None else environment
    values = _from_environment(environment)
    for section, keys in (read_yaml(Path(path)) if path is not None else {}).items():
        values.setdefault(section, {}).update(keys)
    for (section, key), value in flags.items():
        values.setdefault(section, {})[key] = value
    model = values.setdefault("model", {})
    if not model.get("url") and not model.get("provider") and environment.get("OPENAI_BASE_URL"):
        # the key goes with the address: no other server is told it
        model["url"] = environment["OPENAI_BASE_URL"]
        model.setdefault("api_key", environment.get("OPENAI_API_KEY"))
    return values


def read_yaml(path: Path) -> Values:
    """The sections of a YAML file; ValidationError when it holds none."""
    try:
        import yaml
    except ImportError as error:
        raise ValidationError(
            "configs need PyYAML, which is not installed", hint="pip install 'batchata[generate]'"
        ) from error
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        twice = twice_in(yaml.compose(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValidationError(f"{path} is no YAML: {error}") from error
    except OSError as error:
        raise ValidationError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="--config names a YAML file",
        ) from error
    if twice is not None:
        raise ValidationError(
            f"{path} has {twice.value!r} twice in one place, the second time in line "
            f"{twice.start_mark.line + 1}: only one of them would hold",
            hint="join them",
        )
    if not isinstance(values, dict):
        raise ValidationError(
            f"{path} has no sections", hint="it begins with `data:`, then `  input_path: ...`"
        )
    values = _without_old_spelling(values)
    for name, keys in values.items():
        if keys is None:
            values[name] = {}
        elif not isinstance(keys, dict):
            known = name in Config.model_fields
            hint = f"write its keys below `{name}:`" if known else _hint(str(name))
            raise ValidationError(f"{path}: {name!r} is no section", hint=hint)
    return values


def to_yaml(config: Config) -> str:
    """The config as a file that `load_config` reads; keys and headers of accounts are left out."""
    import yaml

    values = config.model_dump(mode="json", exclude_defaults=True)
    for secret in ("api_key", "headers"):
        values.get("model", {}).pop(secret, None)
    urls = values.get("model", {}).get("url")
    if urls and len(urls) == 1:
        values["model"]["url"] = urls[0]
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Names and classes of the config's sections."""
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def _without_old_spelling(values: Mapping[str, Any]) -> dict[str, Any]:
    """`enable_thinking` beside the sections, where earlier configs have it, is moved into one."""
    found = dict(values)
    said = found.pop(_STRAY, None)
    if said is not None and not isinstance(said, dict):
        log.warning("%s is meant as generation.%s: write it there", _STRAY, _STRAY)
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
    """Text stays text where text may stand; else it is read as YAML is."""
    if kind.model_fields[key].annotation in (str, str | None, Path, Path | None):
        return said
    import yaml

    try:
        return yaml.safe_load(said)
    except yaml.YAMLError:
        return said


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = dict(sections())
    for section, keys in values.items():
        if section not in known:
            raise ValidationError(f"the config has no section {section!r}", hint=_hint(section))
        for key in keys:
            if key not in known[section].model_fields:
                raise ValidationError(
                    f"the config has no key {section}.{key}", hint=_hint(str(key), section)
                )


def _hint(name: str, section: str | None = None) -> str:
    """The nearest key, in its own section first; else the keys that there are."""
    known = dict(sections())
    names = [*known] if section is None else [*known[section].model_fields]
    close = difflib.get_close_matches(name, names, 1, 0.6)
    if close:
        return f"did you mean {close[0] if section is None else f'{section}.{close[0]}'}?"
    everywhere = [f"{part}.{key}" for part, kind in known.items() for key in kind.model_fields]
    there = [each for each in everywhere if each.partition(".")[2] == name]
    close = there or difflib.get_close_matches(name, everywhere, 1, 0.6)
    if close:
        return f"did you mean {close[0]}?"
    where = "its sections are" if section is None else f"keys of {section} are"
    return f"{where} {', '.join(names)}"


def _config_error(error: pydantic.ValidationError) -> ValidationError:
    first, *others = error.errors()
    place = ".".join(
        str(each) for each in first["loc"] if not str(each).startswith(("function", "list["))
    )
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        message = f"the config does not say {place}"
    elif first["type"] == "value_error":
        message = f"{place}: {said}" if place else said
    elif "api_key" in place or "headers" in place:
        message = f"{place}: {said}"
    else:
        message = f"{place} is {first['input']!r:.80}: {said}"
    more = f" (and {len(others)} more)" if others else ""
    hint = "batchata generate --help names all flags; the reference page all keys"
    if place == "data" and first["type"] == "missing":
        hint = "write data:, and below it input_path: rows.parquet and output_path: out.parquet"
    return ValidationError(message + more, hint=hint)
