from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.bounds import input_bound, output_bound
from batchata.core.errors import ValidationError
from batchata.core.media import DocumentSize, context_bound, image_bound, image_size, pdf_bound

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": TEXT
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=4),
    },
    optional={"name": TEXT},
)
TOOL = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": TEXT})}
)
REQUEST = st.fixed_dictionaries(
    {"model": st.just("gpt-6-luna"), "messages": st.lists(MESSAGE, min_size=1, max_size=6)},
    optional={
        "tools": st.lists(TOOL, max_size=3),
        "system": TEXT,
        "response_format": st.fixed_dictionaries({"description": TEXT}),
    },
)


def bound(request: dict[str, Any], provider: str = "openai", **more: Any) -> int:
    return input_bound(orjson.dumps(request), request, provider=provider, **more)


def text_bytes(node: Any) -> int:
    if isinstance(node, str):
        return len(node.encode())
    if isinstance(node, dict):
        return sum(map(text_bytes, node.values()))
    return sum(map(text_bytes, node)) if isinstance(node, list) else 0


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(content)}]}


@given(REQUEST, st.sampled_from(["openai", "anthropic", "other"]), st.booleans())
def test_the_bound_is_never_below_the_bytes_of_all_text(
    request: dict[str, Any], provider: str, escape: bool
) -> None:
    body = json.dumps(request).encode() if escape else orjson.dumps(request)

    found = input_bound(body, request, provider=provider)

    framing = 4 * len(request["messages"]) + 4
    assert found >= text_bytes(request) + framing


@given(st.binary(max_size=3000), TEXT)
def test_inline_data_never_pushes_the_bound_below_text_and_media(data: bytes, text: str) -> None:
    encoded = base64.b64encode(data).decode()
    request = user(
        {"type": "text", "text": text},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded}},
    )

    found = bound(request, "anthropic")

    assert found >= len(text.encode()) + 4784
    assert found < len(text) * 6 + 4784 + 500


def test_a_short_chat_is_bounded_by_its_bytes_and_its_framing() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}] * 3}

    assert bound(request) == len(orjson.dumps(request)) + 3 * 8 + 16


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"name": "t", "input_schema": {}}], "max_tokens": 5},
        {"output_config": {"format": {"type": "json_schema"}}, "max_tokens": 5},
    ],
)
def test_anthropic_gets_room_for_its_hidden_prompts(more: dict[str, Any]) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}

    assert bound(request, "anthropic") >= len(orjson.dumps(request)) + 1024


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        {"type": "image_url", "image_url": "https://a.example/x.png"},
        {"type": "input_image", "file_id": "file-1"},
    ],
)
def test_an_unseen_openai_image_reserves_for_a_large_one(block: dict[str, Any]) -> None:
    assert bound(user(block)) >= 100_000


def test_an_inline_image_is_bounded_by_its_own_size() -> None:
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (320).to_bytes(4, "big")
    url = "data:image/png;base64," + base64.b64encode(png + bytes(5000)).decode()

    found = bound(user({"type": "image_url", "image_url": {"url": url}}))

    assert 200 * 2.46 <= found < 2500


def test_a_remote_pdf_is_bounded_by_the_widest_context() -> None:
    block = {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}}

    assert bound(user(block), "anthropic") >= context_bound("anthropic")


@pytest.mark.parametrize(
    ("provider", "block"),
    [
        (
            "anthropic",
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 4000},
            },
        ),
        ("openai", {"type": "file", "file": {"filename": "a.pdf", "file_id": "f"}}),
        (
            "openai",
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64," + "A" * 4000,
            },
        ),
    ],
)
def test_known_pages_replace_the_worst_case(provider: str, block: dict[str, Any]) -> None:
    size = DocumentSize(pages=2, text_bytes=700)

    known = bound(user(block), provider, sizes={"a.pdf": size})
    unknown = bound(user(block), provider)

    assert pdf_bound(provider, size=size) <= known < pdf_bound(provider, size=size) + 400
    assert unknown >= context_bound(provider)


def test_media_inside_a_tool_result_and_a_responses_item_are_found() -> None:
    image = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    nested = user({"type": "tool_result", "tool_use_id": "t", "content": [image, image]})
    items = {
        "model": "m",
        "input": [
            {
                "type": "function_call_output",
                "output": [{"type": "input_image", "image_url": "https://a.example/x.png"}],
            }
        ],
    }

    assert bound(nested, "anthropic") >= 2 * 4784
    assert bound(items) >= 100_000


def test_text_in_an_office_file_may_be_longer_than_the_file() -> None:
    block = {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}}

    assert bound(user(block)) >= context_bound("openai")


def test_cited_text_is_counted_with_the_marks_of_its_pieces() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "é" * 1000}
    block = {"type": "document", "source": source, "citations": {"enabled": True}}

    assert bound(user(block), "anthropic") >= 4000


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"tools": [{"type": "web_search", "max_uses": 1}]},
        {"tools": [{"type": "file_search"}]},
        {"mcp_servers": [{"url": "https://a.example"}]},
        {"thread": {"type": "continue", "previous_message_id": "msg_1"}},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"id": "msg_1", "type": None}]},
        {"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]},
        {"input": [{"type": "file_search_call", "id": "fs_1", "results": None}]},
        {"input": [{"type": "additional_tools", "tools": [{"type": "file_search"}]}]},
        {"input": [{"type": "tool_search_output", "tools": [{"type": "web_search"}]}]},
        {
            "messages": [
                {
                    "role": "system",
                    "content": [
                        {
                            "type": "tool_addition",
                            "tool": {
                                "type": "tool_definition",
                                "definition": {"type": "web_fetch_20260318"},
                            },
                        }
                    ],
                }
            ]
        },
    ],
)
def test_what_the_vendor_draws_in_itself_counts_as_a_whole_context(more: dict[str, Any]) -> None:
    request = {"model": "m", "input": "hi", **more}

    assert bound(request) >= context_bound("openai")


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        ({"type": "reasoning", "id": "rs_1", "summary": []}, 128_000),
        ({"type": "image_generation_call", "id": "ig_1", "result": None}, 24_600),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "file_id": "file-1"},
            },
            24_600,
        ),
    ],
)
def test_what_the_vendor_keeps_of_an_item_counts_as_much_as_it_may_be(
    item: dict[str, Any], tokens: int
) -> None:
    assert tokens <= bound({"model": "m", "input": [item]}) < context_bound("openai")


def test_thoughts_that_are_in_the_request_are_its_bytes() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" * 100}

    assert bound({"model": "m", "input": [thought]}) < 500


def test_all_that_is_drawn_in_together_is_no_longer_than_a_context() -> None:
    files = [{"type": "input_file", "file_url": f"https://a.example/{n}.pdf"} for n in range(5)]

    found = bound({"model": "m", "input": [{"role": "user", "content": files}]})

    assert context_bound("openai") <= found < context_bound("openai") + 1000


def test_a_thread_that_begins_has_nothing_before_it() -> None:
    assert bound({"model": "m", "messages": [], "thread": {"type": "create"}}, "anthropic") < 500


def test_tools_that_run_at_the_callers_are_their_descriptions() -> None:
    tools = [{"type": "browser_toolset_20260801"}, {"type": "computer_toolset_20260801"}]

    found = bound({"model": "m", "messages": [], "tools": tools}, "anthropic")

    assert 20_000 < found < 100_000


def test_tokens_given_as_numbers_are_bounded_by_their_digits() -> None:
    request = {"model": "text-embedding-3-small", "input": [1, 2, 3]}

    assert 3 <= bound(request) <= len(orjson.dumps(request)) + 16


@pytest.mark.parametrize("items", [[[1, 2], [3]], ["a", "b"], [None, 5], [{}], [{"content": 5}]])
def test_odd_items_are_bounded_and_no_error(items: list[Any]) -> None:
    assert bound({"model": "m", "input": items}) > len(orjson.dumps(items))


def test_output_is_the_cap_times_the_choices() -> None:
    assert output_bound(100, 3) == 300
    with pytest.raises(ValidationError):
        output_bound(100, 0)


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_a_larger_image_never_has_a_smaller_bound(width: int, height: int) -> None:
    assert image_bound("openai", size=(width, height)) <= image_bound(
        "openai", size=(width + 32, height + 32)
    )


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_an_image_for_a_model_that_counts_many_tokens_a_tile_is_bounded_by_those(
    model: str,
) -> None:
    tiles = 8  # of 512 pixels, in 768 by 2,048 pixels

    assert image_bound("openai", model, size=(64, 64)) >= 2_833 + tiles * 5_667


@given(st.text(max_size=300))
def test_the_size_of_damaged_image_data_is_unknown_and_no_error(data: str) -> None:
    found = image_size(data)

    assert found is None or len(found) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"GIF89a" + (300).to_bytes(2, "little") + (200).to_bytes(2, "little"),
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\xc8\x01\x2c\x03",
        b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x2b\x01\0\xc7\0\0",
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x2b\xc1\x31\0\0\0\0\0\0",
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x2c\x01\xc8\0",
    ],
    ids=["gif", "jpeg", "webp-x", "webp-lossless", "webp"],
)
def test_the_size_of_an_image_is_read_from_its_first_bytes(head: bytes) -> None:
    data = base64.b64encode(head + bytes(40)).decode()

    assert image_size(data) == (300, 200)


def test_arguments_that_look_like_an_image_stay_text() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "x" * 9000}}
    request = user({"type": "tool_use", "id": "t", "name": "n", "input": image})

    assert bound(request, "anthropic") >= 9000
