from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.report.page import data_block, head_and_foot, safe_json

JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_data_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(safe_json(value)) == value


@pytest.mark.parametrize(
    "text",
    ["</script>", "<!--", "]]>", "<script>", "\u2028\u2029", "&lt;", "</ScRiPt\n>", "\x00\x7f"],
)
def test_nothing_in_the_data_can_end_its_element(text: str) -> None:
    block = data_block("rows", [text])

    inside = block.removeprefix(b'<script type="application/json" class="rows">')
    inside = inside.removesuffix(b"</script>\n")
    assert not set("<>&\u2028\u2029") & set(inside.decode())
    assert json.loads(inside) == [text]


def test_what_json_cannot_say_is_said_as_near_as_can_be() -> None:
    assert json.loads(safe_json({"a": "half \ud83d", "b": 2**70})) == {
        "a": "half ?",
        "b": str(2**70),
    }


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    head, foot = head_and_foot("t")
    page = (head + foot).decode()

    assert "default-src 'none'" in page
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", page)
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert "@import" not in page
    assert not re.search(r"url\(|https?://(?!www\.w3\.org/2000/svg)", page)


def test_a_title_is_text() -> None:
    head, _ = head_and_foot("<b>&\ud800")

    assert b"<h1>&lt;b&gt;&amp;?</h1>" in head
    assert b"<!--title-->" not in head
