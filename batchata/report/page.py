"""The page itself: style, script and data in one file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files
from typing import Any, Final

import orjson

#: marks our own reports, which a newer one may replace
GENERATOR: Final = '<meta name="generator" content="batchata report">'
_SCRIPTS: Final = (
    "elements.js",
    "words.js",
    "data.js",
    "charts.js",
    "table.js",
    "detail.js",
    "main.js",
)
#: what could end a script element, or a line of script in an old browser
_RISKY: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def head_and_foot(title: str) -> tuple[bytes, bytes]:
    """The parts of the page before and after the data."""
    style = _asset("style.css")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_asset, _SCRIPTS)) + "})();\n"
    page = _asset("page.html")
    for name, text in {
        "generator": GENERATOR,
        "policy": _policy(style, script),
        "title": html.escape(_sayable(title)),
        "style": style,
        "script": script,
    }.items():
        page = page.replace(f"<!--{name}-->", text)
    head, _, foot = page.partition("<!--data-->")
    return head.encode(), foot.encode()


def data_block(kind: str, value: Any) -> bytes:
    """A value as an element that browsers do not run, safe whatever the value contains."""
    return b'<script type="application/json" class="%b">%b</script>\n' % (
        kind.encode(),
        safe_json(value),
    )


def safe_json(value: Any) -> bytes:
    """JSON that cannot end the element it is in."""
    try:
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
        data = orjson.dumps(_plain(value))
    for risky, escaped in _RISKY:
        data = data.replace(risky, escaped)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _sayable(value)
    if isinstance(value, dict):
        return {_sayable(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, float)):
        return value
    return value if isinstance(value, int) and abs(value) < 2**53 else str(value)


def _sayable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _policy(style: str, script: str) -> str:
    """A policy under which only our own script and style run, and nothing can be loaded or sent."""
    rules = (
        "default-src 'none'",
        f"script-src '{_digest(script)}'",
        f"style-src '{_digest(style)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return files("batchata.report").joinpath("assets", name).read_text(encoding="utf-8")
