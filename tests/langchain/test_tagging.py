"""Configs with tags."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    import langchain_lab


def test_a_config_is_taken_over_and_not_changed(lc: langchain_lab) -> None:
    base: dict[str, Any] = {"tags": ["a"], "metadata": {"x": 1}, "max_concurrency": 3}
    before = deepcopy(base)

    made = [lc.with_tags("b", custom_id=number, config=base) for number in range(3)]

    assert base == before
    assert [each["tags"] for each in made] == [
        ["a", "b", f"logger_custom_id:{number}"] for number in range(3)
    ]
    assert made[0]["max_concurrency"] == 3
    assert made[0]["tags"] is not made[1]["tags"]


def test_an_id_that_is_there_already_is_replaced(lc: langchain_lab) -> None:
    one = lc.with_tags(custom_id="one", custom_id_description="the first")

    two = lc.with_tags(custom_id="two", config=one)

    assert lc.part.extract_custom_id(one["tags"]) == "one"
    assert two["tags"] == ["logger_custom_id:two"]


def test_tags_are_kept_once_in_order_or_replaced(lc: langchain_lab) -> None:
    base = {"tags": ["a", "b"]}

    added = lc.with_tags("c", "b", tags=["d"], config=base)
    replaced = lc.with_tags("c", config=base, replace_tags=True)

    assert added["tags"] == ["a", "b", "d", "c"]
    assert replaced["tags"] == ["c"]


def test_a_tag_that_is_no_text_is_an_error(lc: langchain_lab) -> None:
    with pytest.raises(ValidationError, match="tag 3"):
        lc.with_tags(3)


def test_every_public_name_is_there(lc: langchain_lab) -> None:
    missing = [name for name in lc.part.__all__ if getattr(lc.part, name, None) is None]

    assert missing == []
    assert dir(lc.part) == lc.part.__all__
    with pytest.raises(AttributeError, match="batch_modle"):
        lc.part.batch_modle  # noqa: B018
