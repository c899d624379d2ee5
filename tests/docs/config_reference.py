"""The page that has every key of the gateway's configuration, made of the code that reads them.

`python tests/docs/config_reference.py` writes it anew.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from batchata.gateway.proxy.config.loading import VARIABLES
from batchata.gateway.proxy.config.model import GatewayConfig
from batchata.gateway.proxy.config.registry import OWN, interceptor_class
from batchata.gateway.proxy.interceptor import Interceptor

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "gateway-config.md"
_HEAD: Final = (
    "# Configuration of the gateway\n\n"
    "What the YAML file of `batchata proxy run --config FILE` may hold, and the mapping that "
    "`Gateway(config=...)` takes; see [Put a gateway in front of an application]"
    "(../how-to/gateway.md).\n"
    "`batchata proxy generate-config FILE` writes a file that works, and `validate-config FILE` "
    "names what is wrong in one.\n"
    "`${NAME}` anywhere is a variable of the environment, `${NAME:-default}` one that need not be "
    "set, and `$$` a dollar sign.\n"
)
_INTERCEPTORS: Final = """\
## Interceptors and their options

Each is a name in the list `interceptors:`, or `{type: NAME, config: {OPTION: VALUE}}`.
"""
_VARIABLES: Final = """\
## Environment

| variable | stands for |
|---|---|
"""
_WORDS: Final = {
    "str": "text",
    "bool": "`true` or `false`",
    "int": "whole number",
    "float": "number",
    "Decimal": "number",
    "Path": "path",
    "dict": "keys with values",
    "tuple": "list",
}


def page() -> str:
    """The whole page."""
    parts = [_HEAD, _table("Sections", GatewayConfig)]
    parts += [_table(f"`{name}`", kind) for kind, name in sections().items()]
    parts.append(_VARIABLES + "".join(_variables()))
    parts.append(_INTERCEPTORS)
    parts += [_interceptor(interceptor_class(name)) for name in OWN]
    return "\n".join(parts)


def sections() -> dict[type[BaseModel], str]:
    """The sections of the file, each with the first key that it stands under."""
    found: dict[type[BaseModel], str] = {}
    for name, field in GatewayConfig.model_fields.items():
        if (kind := _section(field.annotation)) is not None:
            found.setdefault(kind, name)
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    kinds = (annotation, *get_args(annotation))
    return next((e for e in kinds if isinstance(e, type) and issubclass(e, BaseModel)), None)


def _variables() -> Iterator[str]:
    for name, (section, key) in VARIABLES.items():
        yield f"| `{name}` | `{section}.{key}` |\n"


def _table(title: str, kind: type[BaseModel]) -> str:
    said, places, rows = comments(kind), sections(), []
    for name, field in kind.model_fields.items():
        section = _section(field.annotation)
        text, default = said[name], ""
        if section is not None:
            text = f"{text or (inspect.getdoc(section) or '')}; [keys](#{places[section]})"
        elif field.is_required():
            default = "must be given"
        else:
            default = _shown(field.get_default(call_default_factory=True))
        rows.append((name, _kind(field.annotation), default, text.replace(".;", ";")))
    return f"## {title}\n\n{inspect.getdoc(kind)}\n\n" + _rows("key", rows)


def _interceptor(kind: type[Interceptor]) -> str:
    said, types_ = comments(kind), get_type_hints(kind)
    rows = [
        (name, _kind(types_[name]), _shown(default), said.get(name, ""))
        for name, default in kind.options.items()
    ]
    text = " ".join((inspect.getdoc(kind) or "").split())
    table = _rows("option", rows) if rows else "It has no options.\n"
    return f"### `{kind.name}`\n\n{text}\n\n{table}"


def _rows(what: str, rows: list[tuple[str, str, str, str]]) -> str:
    lines = [f"| {what} | is | if not given | |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {default} | {text} |" for name, kind, default, text in rows]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, tuple):
        return "all" if len(value) > 3 else f"`{json.dumps(value)}`"
    return f"`{value}`" if isinstance(value, str | Path) else f"`{json.dumps(value)}`"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in get_args(annotation))
    if origin in (Union, types.UnionType):
        kinds = [_kind(each) for each in get_args(annotation) if each is not type(None)]
        return "path" if "path" in kinds else " or ".join(dict.fromkeys(kinds))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _WORDS[(origin or annotation).__name__]


def comments(kind: type) -> Mapping[str, str]:
    """What the `#:` comments of a class say of its attributes."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        behind = lines[(node.end_lineno or 0) - 1][node.end_col_offset or 0 :]
        said = [behind.partition("#:")[2].strip()]
        above = node.lineno - 2
        while lines[above].strip().startswith("#:"):
            said.insert(0, lines[above].strip()[2:].strip())
            above -= 1
        found[node.target.id] = " ".join(said).strip()
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
