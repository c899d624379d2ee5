"""Interceptors of one's own that cannot be imported, made or called: told before anything runs."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from batchata.core.errors import ValidationError
from batchata.gateway import CONTINUE, Exchange, Interceptor, Outcome
from batchata.gateway.proxy.config import registry
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.config.registry import make_interceptor

MODULES = {
    "raising": "raise RuntimeError('at import')",
    "leaving": "raise SystemExit(3)",
    "misspelt": "def x(:",
    "missing": "import no_such_module_at_all",
    "plain": (
        "from batchata.gateway import CONTINUE, Interceptor\n"
        "class Mine(Interceptor):\n"
        "    def on_request(self, exchange):\n"
        "        return CONTINUE\n"
    ),
    "good": (
        "from batchata.gateway import Interceptor\n"
        "class Mine(Interceptor):\n"
        "    name = 'mine'\n"
        "    def __init__(self):\n"
        "        raise OSError('no device')\n"
    ),
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"strange_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


def load(kind: str) -> None:
    flags = {("llm", "base_url"): "http://127.0.0.1:1"}
    load_config(None, flags, interceptors=[{"type": kind}], environment={})


WRONG = [
    ("strange_raising", "cannot be imported: RuntimeError: at import"),
    ("strange_leaving", "cannot be imported: SystemExit: 3"),
    ("strange_misspelt", "cannot be imported: SyntaxError"),
    ("strange_missing", "cannot be imported: ModuleNotFoundError: No module named"),
    ("strange_plain", "on_request of Mine cannot be awaited"),
]


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("module", "said"), WRONG)
def test_what_cannot_be_imported_is_an_error_of_the_configuration(module: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load(f"{module}:Mine")

    assert caught.value.message.startswith("interceptors[0]: ")
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("module", "said"), WRONG)
def test_so_is_what_an_installed_package_cannot_load(
    monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    point = EntryPoint(name="theirs", value=f"{module}:Mine", group=registry.GROUP)
    monkeypatch.setattr(registry, "_installed", lambda: {"theirs": point})

    with pytest.raises(ValidationError) as caught:
        load("theirs")

    assert caught.value.message.startswith("interceptors[0]: ")
    assert said in caught.value.message


def test_a_dotted_path_of_dots_is_an_error_too() -> None:
    with pytest.raises(ValidationError, match="cannot be imported"):
        load("..x")


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("options", "said"), [({}, "OSError: no device"), ({"a": 1}, "TypeError")])
def test_what_cannot_be_made_says_why(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=f"'strange_good:Mine' cannot be made: {said}"):
        make_interceptor("strange_good:Mine", options)


async def without_exchange(self: Interceptor) -> Outcome:
    return CONTINUE


async def with_too_many(self: Interceptor, exchange: Exchange, more: int) -> Outcome:
    return CONTINUE


def not_async(self: Interceptor, exchange: Exchange) -> Outcome:
    return CONTINUE


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (
            without_exchange,
            "on_request of Mine does not take the gateway's arguments: too many positional",
        ),
        (
            with_too_many,
            "on_request of Mine does not take the gateway's arguments: missing a required",
        ),
        (not_async, "on_request of Mine cannot be awaited"),
    ],
)
def test_a_hook_that_could_not_be_called_is_told_where_its_class_is_written(
    hook: Any, said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        type("Mine", (Interceptor,), {"on_request": hook})

    assert "write async def on_request" in str(caught.value.hint)


def test_a_hook_may_have_names_and_defaults_of_its_own_and_come_from_elsewhere() -> None:
    class Mixin:
        async def on_event(self, *given: Any, **more: Any) -> None:
            """Take anything."""

    class Mine(Mixin, Interceptor):
        async def on_request(self, asked: Exchange, *, twice: bool = False) -> Outcome:
            return CONTINUE

    assert Mine().options == {}
