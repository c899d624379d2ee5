from __future__ import annotations

from pathlib import Path

import pytest

from batchata.configs.yaml_file import YamlFile, read_yaml
from batchata.core.errors import ValidationError

TEXT = """\
server:
  port: 80
upstreams:
  - name: one
    models: [a,
             b]
"""


def read(tmp_path: Path, text: str) -> YamlFile:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path, first_key="server", extra="gateway")


def test_every_key_and_list_item_has_its_line(tmp_path: Path) -> None:
    file = read(tmp_path, TEXT)

    assert file.line_of(("server", "port")) == 2
    assert file.line_of(("upstreams", 0)) == 4
    assert file.line_of(("upstreams", 0, "models", 1)) == 6
    assert file.line_of(("server", "host")) is None


def test_what_a_flag_overrides_has_no_line(tmp_path: Path) -> None:
    file = read(tmp_path, TEXT).without([("upstreams",)])

    assert file.line_of(("upstreams", 0, "name")) is None
    assert file.line_of(("server", "port")) == 2


def test_a_file_that_names_itself_is_read_to_its_end(tmp_path: Path) -> None:
    file = read(tmp_path, "a: &all\n  b: *all\n")

    assert file.line_of(("a", "b")) == 2


def test_a_key_may_be_there_again_in_another_place(tmp_path: Path) -> None:
    file = read(tmp_path, "a: {x: 1}\nb:\n  <<: &base {x: 2}\n  x: 3\n")

    assert file.values == {"a": {"x": 1}, "b": {"x": 3}}


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n").values == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  x: 1\n  x: 2", "has 'x' twice in one place, the second time in line 3"),
        ("a:\n - {x: 1,\n    x: 2}", "the second time in line 3"),
        ("[1]", "holds a list, not sections with keys"),
        ("a: {k: 'sk-secret', b: ${X}}", "is no YAML: .* .line 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as told:
        read(tmp_path, text)

    assert "sk-secret" not in f"{told.value} {told.value.__cause__}"


def test_a_file_in_another_encoding_is_told_by_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: ü".encode("latin-1"))

    with pytest.raises(ValidationError, match=r"is not UTF-8: .* at byte 3"):
        read_yaml(path, first_key="a", extra="gateway")
