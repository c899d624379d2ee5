"""Options of interceptors: their names, types and values."""

from __future__ import annotations

import traceback
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from batchata.core.errors import ValidationError
from batchata.gateway import Interceptor
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.config.registry import OWN, interceptor_class, make_interceptor

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("budget", {}),
        ("budget", {"limit_usd": -1}),
        ("budget", {"limit_usd": 1, "per": "week"}),
        ("budget", {"limit_usd": 1, "free_paths": "/v1/images/*"}),
        ("budget", {"limit_usd": 1, "wait_seconds": "long"}),
        ("rate_limit", {"requests_per_minute": 0}),
        ("rate_limit", {"per": "planet"}),
        ("redact", {"patterns": {"bad": "("}}),
        ("redact", {"known": ["sk"]}),
        ("replay", {"miss": "maybe"}),
        ("trace_export", {"url": "nowhere"}),
        ("trace_export", {"url": "http://x", "preset": "xml"}),
        ("trace_export", {"url": "http://x", "headers": {"X-Key": "a\nb"}}),
        ("trace_export", {"url": "http://x", "headers": {"X Key": "a"}}),
        ("record", {"directory": 5}),
        ("cache", {"ttl_seconds": "a week"}),
        ("budget", {"limit_usd": 1, "free_paths": "/v1/mine"}),
        ("test_recorder", {"most": -1}),
    ],
)
def test_an_option_that_cannot_be_used_says_what_to_write(
    name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        make_interceptor(name, options)

    assert caught.value.hint


def test_an_option_that_comes_from_the_environment_is_of_its_type() -> None:
    options = {"limit_usd": "${LIMIT}", "ask_usage": "${ASK}"}
    given = {"llm": {"base_url": URL}, "interceptors": [{"type": "budget", "config": options}]}

    config = load_config(given=given, environment={"LIMIT": "2.50", "ASK": "no"})
    [section] = config.interceptors
    budget: Any = make_interceptor(section.type, section.config)

    assert budget.limit_usd == Decimal("2.50")
    assert budget.ask_usage is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wait_seconds": "long"}, "budget: wait_seconds is 'long'; write a number"),
        ({"wait_seconds": -1}, "budget: wait_seconds is -1; write at least 0"),
        ({"uncounted": "x"}, "budget: uncounted is text; write a list, as [a, b]"),
        ({"uncounted": ["x", 5]}, "budget: uncounted[1] is a number; write text"),
        ({"ask_usage": "sk-" + "a1" * 10}, "ask_usage is text; write true or false"),
        ({"per": None}, "budget: per is empty; write text"),
    ],
)
def test_a_value_of_another_type_is_told_with_what_is_wanted(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make_interceptor("budget", {"limit_usd": 1, **options})

    assert said in caught.value.message


def test_a_key_in_a_wrong_place_is_in_no_error() -> None:
    key = "sk-" + "a1" * 10
    given = {"llm": {"base_url": URL, "api_key": [key]}, "server": {"port": key}}

    with pytest.raises(ValidationError) as caught:
        load_config(given=given, environment={})

    assert key not in "".join(traceback.format_exception(caught.value))


def test_an_option_of_a_wrong_type_is_named_with_its_place_and_without_its_value() -> None:
    export = {"type": "trace_export", "config": {"url": "http://h", "headers": "sk-planted-1"}}

    with pytest.raises(
        ValidationError, match=r"interceptors\[0\]: .*headers is text; write keys"
    ) as caught:
        load_config(given={"llm": {"base_url": URL}, "interceptors": [export]}, environment={})

    assert "sk-planted-1" not in f"{caught.value} {caught.value.__cause__}"


def test_options_are_checked_where_an_interceptor_is_made_in_code_too() -> None:
    class Mine(Interceptor):
        name = "mine"
        options: ClassVar = {"most_bytes": 10, "words": ()}
        most_bytes: int

    made: Any = Mine(most_bytes="20", words="any")

    assert (made.most_bytes, made.words) == (20, "any")
    with pytest.raises(ValidationError, match="mine has no option 'most_byte'"):
        Mine(most_byte=1)
    with pytest.raises(ValidationError, match="mine: most_bytes is 'many'; write a whole number"):
        Mine(most_bytes="many")


def test_every_option_of_ours_says_of_what_type_it_is() -> None:
    kinds = [interceptor_class(name) for name in OWN]

    assert [
        f"{kind.name}.{option}"
        for kind in kinds
        for option in kind.options
        if option not in kind.__annotations__
    ] == []


def test_every_interceptor_of_ours_can_be_made() -> None:
    needed = {"budget": {"limit_usd": 1}, "trace_export": {"url": "http://127.0.0.1:9"}}

    made = [make_interceptor(name, needed.get(name, {})) for name in OWN]

    assert [each.name for each in made] == list(OWN)
