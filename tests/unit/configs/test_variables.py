from __future__ import annotations

import pytest

from batchata.configs.variables import escaped, expanded
from batchata.core.errors import ValidationError


def test_variables_are_put_in_at_every_depth() -> None:
    value = {"url": "http://${HOST}:${PORT:-80}", "keys": ["${KEY}", 5], "price": "$$1 and $2"}

    found = expanded(value, {"HOST": "h", "KEY": "k"})

    assert found == {"url": "http://h:80", "keys": ["k", 5], "price": "$1 and $2"}


@pytest.mark.parametrize("value", ["${X}", "$X", "$$", "$${X}", {"${a}": ["costs $5", None, 3]}])
def test_what_is_escaped_comes_back_as_it_was(value: object) -> None:
    assert expanded(escaped(value), {}) == value


def test_a_variable_that_is_not_set_is_named_with_its_place() -> None:
    with pytest.raises(ValidationError, match=r"model\.headers\.X asks for \$\{KEY\}"):
        expanded({"headers": {"X": "${KEY}"}}, {}, "model")
