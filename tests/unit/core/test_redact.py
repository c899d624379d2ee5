import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core import redact
from batchata.core.logged import LoggedEvent, to_json
from batchata.core.redact import REDACTED, Redactor, is_secret_name

PLAIN = Redactor()
NAMES = """api_key OPENAI_API_KEY Authorization x-api-key aws_secret_access_key password apiKey
client_secret Set-Cookie accesstoken auth-token token"""
KEYS = """sk-proj-abcdefghijklmnop0123 sk-ant-api03-abcdefghijklmnop AKIAIOSFODNN7EXAMPLE
AIzaSyA1234567890abcdefghijklmnopqrstuv"""


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "OPENAI_API_KEY",
        "Authorization",
        "x-api-key",
        "aws_secret_access_key",
        "password",
        "apiKey",
        "client_secret",
        "Set-Cookie",
        "accesstoken",
        "auth-token",
        "token",
    ],
)
def test_knows_the_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "input_tokens", "tokens", "keyword", "model", "key"]
)
def test_leaves_other_names_alone(name: str) -> None:
    assert not is_secret_name(name)


def test_takes_out_what_lies_under_a_telling_name_however_deep() -> None:
    value = {"a": [{"headers": {"Authorization": "Bearer x", "Accept": "*/*"}}]}

    found = PLAIN.named(value)

    assert found == {"a": [{"headers": {"Authorization": REDACTED, "Accept": "*/*"}}]}
    assert value["a"][0]["headers"]["Authorization"] == "Bearer x"


def test_a_secret_among_names_that_were_seen_without_one_is_taken_out() -> None:
    value = {"name": "n", "city": "c"}
    PLAIN.named([value, {"city": {"name": 1}}])

    assert PLAIN.named([{"name": {"city": "c", "api_key": "x"}}]) == [
        {"name": {"city": "c", "api_key": REDACTED}}
    ]
    assert PLAIN.named(value) is value


def test_a_secret_beside_a_value_that_contains_itself_is_taken_out() -> None:
    value: dict[str, Any] = {"name": "n"}
    value["itself"] = value

    assert PLAIN.named(value) is value
    assert PLAIN.named([value, {"api_key": "x"}])[1] == {"api_key": REDACTED}


def test_names_that_never_come_again_take_no_memory() -> None:
    for number in range(5_000):
        PLAIN.named({f"{number}-{each}": 1 for each in range(5)})
    PLAIN.named({"n" * 1_000: 1, 5: 1})
    PLAIN.named({f"row {number}": 1 for number in range(10_000)})

    assert len(redact._INNOCENT) < 5_000
    assert max(map(len, redact._INNOCENT)) < 100


def test_a_value_without_secrets_is_not_copied() -> None:
    value = {"a": [{"b": 1}], "max_tokens": 3}

    assert PLAIN.named(value) is value


def test_pieces_of_text_called_token_stay() -> None:
    probabilities = [{"token": "hello", "logprob": -0.1}]

    assert PLAIN.named(probabilities) is probabilities
    assert PLAIN.named({"token": "hf_abcdefghijklmnop1234"}) == {"token": REDACTED}


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop0123",
        "sk-ant-api03-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    ],
)
def test_takes_out_what_has_the_shape_of_a_key(secret: str) -> None:
    written = PLAIN.json(to_json({"text": f"my key is {secret}, keep it"}))

    assert secret.encode() not in written
    assert b"keep it" in written


def test_takes_passwords_out_of_addresses() -> None:
    assert b"hunter22" not in PLAIN.json(b'{"proxy": "http://me:hunter22@proxy:8080/x"}')


@given(st.text(min_size=6, max_size=30).filter(lambda text: text.strip() == text))
def test_known_values_never_reach_the_payload(secret: str) -> None:
    event = LoggedEvent(event_type="llm_start", data={"prompt": f"<{secret}>", "n": [secret]})

    written = event.payload(0, Redactor([secret]))

    assert to_json(secret)[1:-1] not in written.replace(REDACTED.encode(), b"")


@given(
    st.lists(
        st.sampled_from(["a task-list", "sk-" + "a1" * 12, "me@x", "http://u:hunter2@h/", "known!"])
    )
)
def test_texts_looked_through_together_are_what_they_are_one_by_one(said: list[str]) -> None:
    redactor = Redactor(["known!"])
    texts = [to_json({"text": each}) for each in said]

    assert list(redactor.jsons(texts)) == [redactor.json(each) for each in texts]


class Odd:
    """An object with a secret inside."""

    def __init__(self) -> None:
        self.api_key = "abcdef"
        self.name = "odd"


class Loop:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.me: Any = self


@pytest.mark.parametrize(
    "value",
    ["\ud800", 2**80, float("nan"), {1: 2, (1, 2): 3}, {"a", "b"}, b"\xff", Loop(), object, Odd()],
    ids=lambda value: type(value).__name__,
)
def test_any_value_can_be_written(value: object) -> None:
    assert b"batchata" not in to_json({"value": value})


def test_the_insides_of_objects_are_looked_through_too() -> None:
    event = LoggedEvent(event_type="x", data={"client": Odd(), "error": ValueError("no")})

    written = event.payload(0, PLAIN)

    assert b"abcdef" not in written
    assert b'"odd"' in written
    assert b'"message":"no"' in written


@given(
    st.sampled_from([*NAMES.split(), "private key", "session-token", "x passphrase", "Bearer"]),
    st.sampled_from([str, str.upper, str.title, str.swapcase]),
    st.sampled_from(["", "my_", "X-", "\u00fc ", 'q"uoted\\']),
)
def test_json_that_has_a_telling_name_is_never_passed_over(
    name: str, case: Any, before: str
) -> None:
    key = case(name) if name == "token" else before + case(name)
    value = {"a": [{key: "hunter2-hunter2-hunter2"}]}

    assert is_secret_name(key)
    assert not PLAIN.names_none(to_json(value))
    assert not PLAIN.is_clean(to_json(value))
    assert b"hunter2" not in LoggedEvent(event_type="x", data=value).payload(0, PLAIN)


def test_json_without_telling_names_is_told_as_such() -> None:
    assert PLAIN.is_clean(b'{"max_tokens": 3, "text": "his \\"token\\" of love"}')
    assert PLAIN.names_none(b'{"max_tokens": 3, "text": "his \\"token\\" of love"}')


@dataclass
class Tool:
    name: str
    api_key: str


@dataclass(slots=True)
class Slotted:
    password: str
    tools: list[Tool]


def test_the_insides_of_dataclasses_are_looked_at() -> None:
    event = LoggedEvent(
        event_type="x", data={"at": Slotted("hunter2", [Tool("search", "hunter2")])}
    )

    said = event.payload(0, PLAIN)

    assert b"hunter2" not in said
    assert b'{"name":"search","api_key":"[redacted]"}' in said


@pytest.mark.parametrize("key", [*KEYS.split(), "Bearer abcdefghijklmnop", "known-value"])
@pytest.mark.parametrize("around", ["{}", "\u00e0\u00a0 {} \u4e2d", "x" * 2000 + " {}"])
def test_an_event_is_looked_through_for_every_kind_of_key(key: str, around: str) -> None:
    event = LoggedEvent(event_type="x", data={"text": around.format(key)})

    said = event.payload(0, Redactor(["known-value"]))

    assert key.encode() not in said
    assert REDACTED.encode() in said


@pytest.mark.parametrize("user", ["anna", "ann\u00e0", "\u4e2d"])
def test_passwords_in_addresses_are_taken_out_whoever_they_are_of(user: str) -> None:
    text = to_json({"at": f"https://{user}:hunter22@example.com/x"})

    assert b"hunter22" not in PLAIN.json(text)
    assert b"hunter22" not in LoggedEvent(
        event_type="x", data={"at": f"https://{user}:hunter22@example.com/x"}
    ).payload(0, PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "a risk-sensitive-decision-making study",
        "task-3f2a9c1e-55aa-4b1c-9d2e-000000000001",
        "disk-image-of-the-second-machine",
        "chf_000000000000000000000000000000000000",
    ],
)
def test_words_that_only_end_like_the_beginning_of_a_key_stay(text: str) -> None:
    assert PLAIN.json(text.encode()) == text.encode()


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop0123",
        "hf_abcdefghijklmnopqrstuvwxyz01234567",
        "gho_abcdefghijklmnopqrstuvwxyz0123456789",
        f"github_pat_{'a1' * 30}",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\ndef-x",
    ],
)
@pytest.mark.parametrize("before", ["", " ", "\n", "\t", "\x01", "=", '"', "_", "é"])
def test_a_key_is_taken_out_whatever_comes_before_it(key: str, before: str) -> None:
    data = to_json({"a": before + key})

    assert not PLAIN.is_clean(data)
    assert key[-9:].encode() not in PLAIN.json(data)
    assert key[-9:].encode() not in PLAIN.jsons([b"{}", data])[1]


@pytest.mark.parametrize(
    "text",
    [
        'what does "-----BEGIN RSA PRIVATE KEY-----" say?',
        '{"key":"-----BEGIN PRIVATE KEY-----MIIabc"}',
        r"{\"key\":\"-----BEGIN PRIVATE KEY-----\\nMIIabc\\n\"}",
        "-----BEGIN PRIVATE KEY-----\nMIIabc\\",
        "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\\",
        "-----BEGIN PRIVATE KEY-----\u2028MIIabc\u0001-",
    ],
)
def test_what_a_private_key_is_taken_out_of_stays_json(text: str) -> None:
    kept = json.loads(PLAIN.json(to_json({"a": text})))["a"]

    assert REDACTED in kept
    assert "MII" not in kept
