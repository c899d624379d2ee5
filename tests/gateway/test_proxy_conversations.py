"""Calls of one conversation are of one session, and what answers say is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from conversation_lab import HI, MORE, block, chat, chunk, conversation, message, response, text

from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES
from batchata.gateway.proxy.reading.answer_facts import facts_of
from batchata.gateway.proxy.telemetry import history

CHAT_AUDIO = {
    "prompt_tokens": 9,
    "prompt_tokens_details": {"audio_tokens": 3},
    "completion_tokens": 4,
    "completion_tokens_details": {"audio_tokens": 2},
}
RESPONSES_AUDIO = {
    "input_tokens": 9,
    "input_tokens_details": {"audio_tokens": 3},
    "output_tokens": 4,
    "output_tokens_details": {"audio_tokens": 2},
}


@pytest.mark.parametrize(
    ("said", "echoed"),
    [
        ("Fine.\n", "Fine."),
        ("<think>Hm.</think>Fine.", "<think>Hm.</think>Fine."),
        ("<think>Hm.</think>Fine.", "Fine."),
        ("Fine.", [{"type": "text", "text": "Fine."}]),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_is_known_again_however_a_client_echoes_it(
    said: str, echoed: Any, is_stream: bool
) -> None:
    first: Any = [chunk(content=each) for each in said] if is_stream else chat({"content": said})
    again = {"messages": [HI, {"role": "assistant", "content": echoed}, MORE]}

    sessions, _ = conversation(CHAT, ({"messages": [HI]}, first), (again, chat({"content": "x"})))

    assert sessions == ["s0", "s0"]


@pytest.mark.parametrize(
    "said",
    [
        chat({"content": "one"}, {"content": "two"}),
        [
            chunk(0, content="o"),
            chunk(1, content="tw"),
            chunk(0, content="ne"),
            chunk(1, content="o"),
        ],
    ],
    ids=["whole", "stream"],
)
@pytest.mark.parametrize("taken", ["one", "two"])
def test_a_client_may_go_on_from_any_choice(said: Any, taken: str) -> None:
    again = {"messages": [HI, {"role": "assistant", "content": taken}, MORE]}

    sessions, events = conversation(
        CHAT, ({"messages": [HI], "n": 2}, said), (again, chat({"content": "x"}))
    )

    assert sessions == ["s0", "s0"]
    ends = [event for event in events if event.name == "llm.call.finish"]
    assert ends[0].attributes["llm.response.choices"] == ["one", "two"]
    assert "llm.response.choices" not in ends[1].attributes


def test_marks_of_what_to_cache_may_move_from_turn_to_turn() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    said = message(block("Fine."))
    turns: list[dict[str, Any]] = []
    steps = []
    for number in range(4):
        newest = {"role": "user", "content": [block(f"question {number}", **mark)]}
        system = [block("Be brief.", **(mark if number else {}))]
        steps.append(({"system": system, "messages": [*turns, newest]}, said))
        plain = f"question {number}"
        turns.append({"role": "user", "content": [block(plain)] if number % 2 else plain})
        turns.append({"role": "assistant", "content": [block("Fine.")]})

    sessions, _ = conversation(MESSAGES, *steps)

    assert sessions == ["s0"] * 4


def test_the_apis_own_ids_hold_whatever_the_instructions_are() -> None:
    sessions, _ = conversation(
        RESPONSES,
        ({"input": "hi", "instructions": "A"}, response("r1", text("x"))),
        ({"input": "go", "instructions": "B", "previous_response_id": "r1"}, response("r2")),
        ({"input": "hi", "conversation": "v1"}, response("r3", text("x"))),
        ({"input": "hi", "instructions": "B", "conversation": {"id": "v1"}}, response("r4")),
    )

    assert sessions == ["s0", "s0", "s1", "s1"]


# what an answer says besides its text


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (CHAT, chat({"content": "Fine.", "reasoning_content": "Hm."})),
        (CHAT, [chunk(reasoning_content="H"), chunk(reasoning="m."), chunk(content="Fine.")]),
        (CHAT, [chunk(content="<think>Hm.</th"), chunk(content="ink>Fine.")]),
        (
            RESPONSES,
            [
                {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
                {"type": "response.output_text.delta", "delta": "Fine."},
            ],
        ),
        (MESSAGES, message({"type": "thinking", "thinking": "Hm."}, block("Fine."))),
        (
            MESSAGES,
            [
                {"type": "content_block_delta", "index": 0, "delta": {"thinking": "Hm."}},
                {"type": "content_block_delta", "index": 1, "delta": {"text": "Fine."}},
            ],
        ),
    ],
)
def test_thoughts_are_told_apart_from_the_answer(endpoint: str, said: Any) -> None:
    _, events = conversation(endpoint, ({"messages": [HI]}, said))

    found = next(event.attributes for event in events if event.name == "llm.call.finish")
    assert found["llm.response.thinking"] == "Hm."
    assert found["llm.response.content"] == "Fine."


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (CHAT, chat({"content": None, "refusal": "I cannot."})),
        (CHAT, [chunk(refusal="I can"), chunk(refusal="not.")]),
        (RESPONSES, [{"type": "response.refusal.delta", "delta": "I cannot."}]),
    ],
)
def test_what_a_model_says_in_refusing_is_told(endpoint: str, said: Any) -> None:
    _, events = conversation(endpoint, ({"messages": [HI]}, said))

    found = next(event.attributes for event in events if event.name == "llm.call.finish")
    assert found["llm.response.refusal"] == "I cannot."


def test_tokens_written_for_an_hour_and_searches_are_told_where_there_are_any() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "server_tool_use": {"web_search_requests": 5},
    }

    _, events = conversation(
        MESSAGES, ({"messages": [HI]}, {**message(block("x")), "usage": usage})
    )

    found = next(event.attributes for event in events if event.name == "llm.call.finish")
    counts = {
        name.removeprefix("llm.usage."): value
        for name, value in found.items()
        if name.startswith("llm.usage.")
    }
    assert (counts["cache_write_tokens"], counts["cache_write_1h_tokens"]) == (7, 4)
    assert counts["web_searches"] == 5


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (CHAT, chat({"content": "x"}) | {"usage": CHAT_AUDIO}),
        (CHAT, [chunk(content="x"), {"choices": [], "usage": CHAT_AUDIO}]),
        (RESPONSES, response("r", text("x")) | {"usage": RESPONSES_AUDIO}),
    ],
)
def test_tokens_of_audio_are_told_where_there_are_any(endpoint: str, said: Any) -> None:
    _, events = conversation(endpoint, ({"messages": [HI]}, said))

    found = next(event.attributes for event in events if event.name == "llm.call.finish")
    assert found["llm.usage.input_audio_tokens"] == 3
    assert found["llm.usage.output_audio_tokens"] == 2


@pytest.mark.parametrize(
    ("endpoint", "asked", "names", "user"),
    [
        (
            CHAT,
            {"tools": [{"type": "function", "function": {"name": "look"}}], "user": "u1"},
            ["look"],
            "u1",
        ),
        (
            RESPONSES,
            {
                "tools": [{"type": "function", "name": "look"}, {"type": "web_search"}],
                "safety_identifier": "u2",
            },
            ["look", "web_search"],
            "u2",
        ),
        (MESSAGES, {"tools": [{"name": "look"}], "metadata": {"user_id": "u3"}}, ["look"], "u3"),
        (CHAT, {"functions": [{"name": "look"}]}, ["look"], None),
        (CHAT, {"tools": 7, "user": ["u"], "metadata": "x"}, None, None),
    ],
)
def test_a_session_begins_with_its_tools_and_whom_it_is_for(
    endpoint: str, asked: dict[str, Any], names: list[str] | None, user: str | None
) -> None:
    _, events = conversation(endpoint, ({"messages": [HI], **asked}, chat({"content": "x"})))

    begun = next(event.attributes for event in events if event.name == "session.start")
    assert begun.get("llm.tools") == names
    assert begun.get("user.id") == user


def test_a_key_in_the_place_of_a_users_id_is_not_told() -> None:
    key = "sk-proj-" + "a1" * 20

    _, events = conversation(CHAT, ({"messages": [HI], "user": key}, chat({"content": "x"})))

    begun = next(event.attributes for event in events if event.name == "session.start")
    assert begun["user.id"].startswith("key-")


@pytest.mark.parametrize(
    ("body", "said", "kind"),
    [
        ([{"error": {"code": 400, "message": "no", "status": "INVALID"}}], "no", "400"),
        ({"error": "no"}, "no", None),
        ({"object": "error", "message": "no", "type": "NotFound"}, "no", "NotFound"),
        ({"detail": [{"msg": "no"}]}, '[{"msg":"no"}]', None),
        ({"error": {"type": "x"}}, '{"type":"x"}', "x"),
        (["no"], "no", None),
    ],
    ids=str,
)
def test_an_error_in_any_vendors_shape_has_its_message(
    body: object, said: str, kind: str | None
) -> None:
    facts = facts_of(CHAT, 400, orjson.dumps(body))

    assert (facts.error, facts.error_type) == (said, kind)


@pytest.mark.parametrize("before", [[], [HI, {"role": "assistant", "content": "a"}]])
def test_a_question_is_not_read_again_for_each_of_its_answers(
    before: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def canonical(value: Any) -> bytes:
        read.append(value)
        return orjson.dumps(value)

    monkeypatch.setattr(history, "canonical", canonical)
    said = [{"role": "assistant", "content": str(number)} for number in range(8)]
    asked = [*before, MORE]
    again = [({"messages": [*asked, each, HI]}, chat(HI)) for each in said]

    sessions, _ = conversation(CHAT, ({"messages": asked}, chat(*said)))
    assert read.count(MORE) == 2
    sessions, _ = conversation(CHAT, ({"messages": asked}, chat(*said)), *again)
    assert len(set(sessions)) == 1
