"""Results of tools find their calls, whoever runs them."""

from __future__ import annotations

from typing import Any

import pytest
from conversation_lab import (
    HI,
    MORE,
    block,
    chat,
    chunk,
    conversation,
    message,
    response,
    text,
    tools,
)

from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES

CUSTOM = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "select 1"}
PATCH = {
    "type": "apply_patch_call",
    "id": "i",
    "call_id": "c1",
    "operation": {"type": "delete_file"},
}
SHELL = {"type": "shell_call", "id": "i", "call_id": "c1", "action": {"commands": ["ls"]}}
LOCAL = {"type": "local_shell_call", "id": "i", "call_id": "c1", "action": {"command": ["ls"]}}


COMPUTER = {"type": "computer_call", "call_id": "c1", "actions": [{"type": "click"}]}


@pytest.mark.parametrize(
    ("call", "result", "asked", "came"),
    [
        (
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            ("look", {"a": 1}),
            ("success", "42"),
        ),
        (
            CUSTOM,
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
            ("sql", "select 1"),
            ("success", "1"),
        ),
        (
            PATCH,
            {
                "type": "apply_patch_call_output",
                "call_id": "c1",
                "status": "failed",
                "output": "no",
            },
            ("apply_patch", {"type": "delete_file"}),
            ("error", "no"),
        ),
        (
            SHELL,
            {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a"}]},
            ("shell", {"commands": ["ls"]}),
            ("success", [{"stdout": "a"}]),
        ),
        (
            COMPUTER,
            {"type": "computer_call_output", "call_id": "c1", "output": {"type": "screenshot"}},
            ("computer", [{"type": "click"}]),
            ("success", {"type": "screenshot"}),
        ),
        (
            LOCAL,
            {"type": "local_shell_call_output", "id": "c1", "output": "a"},
            ("local_shell", {"command": ["ls"]}),
            ("success", "a"),
        ),
    ],
    ids=lambda given: given.get("type") if isinstance(given, dict) else None,
)
@pytest.mark.parametrize("is_echoed", [False, True])
def test_a_clients_results_pair_with_calls_of_the_responses_api(
    call: dict[str, Any],
    result: dict[str, Any],
    asked: tuple[str, Any],
    came: tuple[str, Any],
    is_echoed: bool,
) -> None:
    begun = {"input": [HI]}
    if is_echoed:
        again: dict[str, Any] = {"input": [HI, {"type": "reasoning"}, call, result]}
    else:
        again = {"input": [result], "previous_response_id": "r1"}

    sessions, events = conversation(
        RESPONSES, (begun, response("r1", {"type": "reasoning"}, call)), (again, response("r2"))
    )

    name, params = asked
    assert sessions == ["s0", "s0"]
    assert tools(events) == [
        ("execution", "c1", name, None, params),
        ("result", "c1", name, *came),
    ]
    assert events[-2].attributes.keys() >= {"llm.request.messages"}


@pytest.mark.parametrize(
    ("item", "name", "status", "came"),
    [
        ({"type": "web_search_call", "status": "completed"}, "web_search", "success", None),
        (
            {"type": "mcp_call", "name": "roll", "arguments": "{}", "output": "7", "error": None},
            "roll",
            "success",
            "7",
        ),
        (
            {"type": "mcp_call", "name": "roll", "arguments": "{}", "error": {"message": "no"}},
            "roll",
            "error",
            {"message": "no"},
        ),
        (
            {"type": "code_interpreter_call", "code": "1", "outputs": [{"logs": "1"}]},
            "code_interpreter",
            "success",
            [{"logs": "1"}],
        ),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_that_openai_runs_itself_have_results_too(
    item: dict[str, Any], name: str, status: str, came: Any, is_stream: bool
) -> None:
    item = {**item, "id": "t1"}
    whole = response("r1", item, text("Fine."))
    said = [{"type": "response.completed", "response": whole}] if is_stream else whole

    sessions, events = conversation(
        RESPONSES,
        ({"input": [HI]}, said),
        ({"input": [HI, item, text("Fine."), MORE]}, response("r2")),
    )

    assert sessions == ["s0", "s0"]
    assert [each[:4] for each in tools(events)] == [
        ("execution", "t1", name, None),
        ("result", "t1", name, status),
    ]
    assert tools(events)[1][4] == came


SEARCH = {"type": "server_tool_use", "id": "t1", "name": "web_search", "input": {"query": "q"}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "t1",
    "content": [{"type": "web_search_result", "url": "http://a"}],
}
TOO_MANY = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("result", "status"), [(FOUND, "success"), ({**FOUND, "content": TOO_MANY}, "error")]
)
def test_tools_that_anthropic_runs_itself_have_results_too(
    result: dict[str, Any], status: str, is_stream: bool
) -> None:
    said: Any = message(SEARCH, result, block("Fine."))
    if is_stream:
        said = [
            {"type": "content_block_start", "index": 0, "content_block": {**SEARCH, "input": {}}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"query":"q"}'},
            },
            {"type": "content_block_start", "index": 1, "content_block": result},
            {"type": "content_block_delta", "index": 2, "delta": {"text": "Fine."}},
        ]

    _, events = conversation(MESSAGES, ({"messages": [HI]}, said))

    assert tools(events) == [
        ("execution", "t1", "web_search", None, {"query": "q"}),
        ("result", "t1", "web_search", status, result["content"]),
    ]


def test_a_result_may_come_in_the_answer_after_a_pause() -> None:
    paused = [HI, {"role": "assistant", "content": [SEARCH]}]

    sessions, events = conversation(
        MESSAGES,
        ({"messages": [HI]}, message(SEARCH)),
        ({"messages": paused}, message(FOUND, block("Fine."))),
        (
            {
                "messages": [
                    HI,
                    {"role": "assistant", "content": [SEARCH, FOUND, block("Fine.")]},
                    MORE,
                ]
            },
            message(block("x")),
        ),
    )

    assert sessions == ["s0"] * 3
    assert [each[:4] for each in tools(events)] == [
        ("execution", "t1", "web_search", None),
        ("result", "t1", "web_search", "success"),
    ]


def test_a_tool_of_a_message_that_failed_is_an_error_with_its_content() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
    failed = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "is_error": True,
        "content": [block("no")],
    }
    again = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [failed]}]

    sessions, events = conversation(
        MESSAGES, ({"messages": [HI]}, message(use)), ({"messages": again}, message(block("x")))
    )

    assert sessions == ["s0", "s0"]
    assert tools(events)[1] == ("result", "t1", "look", "error", [block("no")])


@pytest.mark.parametrize("is_stream", [False, True])
def test_parallel_calls_pair_in_any_order_and_a_retry_tells_nothing_twice(is_stream: bool) -> None:
    calls = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": f"t{number}", "arguments": ""},
        }
        for number in range(3)
    ]
    first: Any = chat({"content": None, "tool_calls": calls})
    if is_stream:
        first = [chunk(tool_calls=[{"index": n, **each}]) for n, each in enumerate(calls)]
    said = [
        {"id": each["id"], "function": {**each["function"], "arguments": "{}"}} for each in calls
    ]
    came = [{"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in (2, 0, 1)]
    again = {"messages": [HI, {"role": "assistant", "content": "", "tool_calls": said}, *came]}

    sessions, events = conversation(
        CHAT, ({"messages": [HI]}, first), (again, chat({"content": "x"})), (again, chat())
    )

    assert sessions[:2] == ["s0", "s0"]
    assert [each[1:3] for each in tools(events)] == [
        *[("c0", "t0"), ("c1", "t1"), ("c2", "t2")],
        *[("c2", "t2"), ("c0", "t0"), ("c1", "t1")],
    ]


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_older_function_call_of_chat_pairs_by_its_name(is_stream: bool) -> None:
    call = {"name": "look", "arguments": '{"a":1}'}
    first: Any = chat({"content": None, "function_call": call})
    if is_stream:
        first = [
            chunk(function_call={"name": "look", "arguments": ""}),
            chunk(function_call={"arguments": '{"a":1}'}),
        ]
    again = [
        *(HI, {"role": "assistant", "content": None, "function_call": call}),
        {"role": "function", "name": "look", "content": "42"},
    ]

    sessions, events = conversation(
        CHAT, ({"messages": [HI]}, first), ({"messages": again}, chat({"content": "x"}))
    )

    assert sessions == ["s0", "s0"]
    assert tools(events) == [
        ("execution", "look", "look", None, {"a": 1}),
        ("result", "look", "look", "success", "42"),
    ]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("taken", [0, 2])
def test_every_choice_may_ask_for_tools_and_a_client_go_on_from_it(
    taken: int, is_stream: bool
) -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": f"[{n}]"}}
        for n in range(3)
    ]
    first: Any = chat(*({"content": None, "tool_calls": [each]} for each in calls))
    if is_stream:
        first = [chunk(n, tool_calls=[{"index": 0, **each}]) for n, each in enumerate(calls)]
    again = [
        *(HI, {"role": "assistant", "content": None, "tool_calls": [calls[taken]]}),
        {"role": "tool", "tool_call_id": f"c{taken}", "content": "42"},
    ]

    sessions, events = conversation(
        CHAT, ({"messages": [HI], "n": 3}, first), ({"messages": again}, chat({"content": "x"}))
    )

    assert sessions == ["s0", "s0"]
    assert [each[1] for each in tools(events)] == ["c0", "c1", "c2", f"c{taken}"]
    asked = [event for event in events if event.name == "tool.execution"]
    assert [event.attributes.get("tool.choice", 0) for event in asked] == [0, 1, 2]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_tool_that_takes_text_has_its_name_and_its_text_in_chat(is_stream: bool) -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    begun = {"id": "c1", "index": 0, "type": "custom", "custom": {"name": "sql", "input": ""}}
    rest = {"index": 0, "custom": {"input": "select 1"}}
    said = {"content": None, "tool_calls": [call]}
    stream = [chunk(tool_calls=[begun]), chunk(tool_calls=[rest])]
    result = {"role": "tool", "tool_call_id": "c1", "content": "1"}
    again = [HI, {"role": "assistant", **said}, result]
    declared = [{"type": "custom", "custom": {"name": "sql"}}]

    sessions, events = conversation(
        CHAT,
        ({"messages": [HI], "tools": declared}, stream if is_stream else chat(said)),
        ({"messages": again}, chat({"content": "Fine."})),
    )

    assert sessions == ["s0", "s0"]
    told = {each.name: each.attributes for each in events}
    assert told["session.start"]["llm.tools"] == ["sql"]
    asked, came = told["tool.execution"], told["tool.result"]
    assert (asked["tool.name"], asked["tool.params"]) == ("sql", "select 1")
    assert (came["tool.name"], came["tool.result"]) == ("sql", "1")
