"""What a gateway is told: flags, file, environment, and what is said of mistakes."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batchata.cli.app import app
from batchata.cli.proxy import _welcome
from batchata.core.errors import ValidationError
from batchata.gateway.proxy import server
from batchata.gateway.proxy.config.loading import load_config

URL = "http://127.0.0.1:1"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def load(text: str, tmp_path: Path, **more: Any) -> Any:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return load_config(file, **{"environment": {}, **more})


def test_flags_go_over_the_file_over_the_environment_over_defaults(tmp_path: Path) -> None:
    environment = {
        "BATCHATA_PROXY_BASE_URL": "http://env",
        "BATCHATA_PROXY_PORT": "1",
        "BATCHATA_PROXY_HOST": "::1",
    }

    config = load(
        "llm: {base_url: 'http://file/v1/'}\nserver: {port: 2}",
        tmp_path,
        flags={("server", "port"): 3, ("server", "host"): None},
        environment=environment,
    )

    assert (config.server.port, config.server.host) == (3, "::1")
    assert config.llm.base_url == "http://file"
    assert config.server.idle_seconds == 600


def test_an_interceptor_without_options_is_a_name(tmp_path: Path) -> None:
    config = load("llm: {base_url: 'http://h'}\ninterceptors: [printer, {type: redact}]", tmp_path)

    assert [each.type for each in config.interceptors] == ["printer", "redact"]


def test_a_flags_options_go_over_those_of_the_files_interceptor(tmp_path: Path) -> None:
    text = (
        "llm: {base_url: 'http://h'}\n"
        "interceptors: [printer, {type: budget, enabled: false, config: {limit_usd: 9, per: day}}]"
    )
    flags = [{"type": "flex"}, {"type": "budget", "config": {"limit_usd": 2}}]

    config = load(text, tmp_path, interceptors=flags)

    assert [each.type for each in config.interceptors] == ["flex", "printer", "budget"]
    assert config.interceptors[-1].config == {"limit_usd": 2, "per": "day"}
    assert config.interceptors[-1].enabled


def test_variables_are_put_in_anywhere_and_must_be_there(tmp_path: Path) -> None:
    text = "llm: {base_url: 'http://${HOST}:${PORT:-80}', api_key: 'a$$b'}"

    config = load(text, tmp_path, environment={"HOST": "h"})

    assert config.llm.base_url == "http://h:80"
    assert config.llm.api_key == "a$b"
    with pytest.raises(ValidationError, match=r"llm\.base_url asks for \$\{HOST\}"):
        load(text, tmp_path)


@pytest.mark.parametrize(
    "written",
    ["${A:-${B:-x}}", "${MY-KEY}", "${1A}", "${ A }", "${A", "${}", "${A:?secret}", "${A-secret}"],
)
def test_what_only_looks_like_a_variable_is_never_sent_as_a_key(
    tmp_path: Path, written: str
) -> None:
    text = f"llm: {{base_url: '{URL}', api_key: '{written}'}}"

    with pytest.raises(
        ValidationError, match=r"llm\.api_key has a \$\{ that begins no variable"
    ) as no:
        load(text, tmp_path, environment={"A": "a"})

    assert "secret" not in str(no.value)


def test_a_variable_without_braces_is_noticed_anywhere_and_in_names_there_may_be_one(
    tmp_path: Path,
) -> None:
    text = f"llm: {{base_url: '{URL}', api_key: 'pa$$T-$USD'}}\nprices: {{'${{T}}': {{input: 1}}}}"

    config = load(text, tmp_path, environment={"T": "mine"})

    assert config.llm.api_key == "pa$T-$USD"
    assert list(config.prices) == ["mine"]
    with pytest.raises(ValidationError, match=r"write \$\{USD\} for the variable, or \$\$USD for"):
        load(text, tmp_path, environment={"T": "mine", "USD": "5"})


def test_a_key_may_end_with_the_line_of_its_file(tmp_path: Path) -> None:
    text = (
        f"llm: {{base_url: '{URL}', api_key: '${{KEY}}'}}\nserver: {{client_token: '${{TOKEN}}'}}"
    )

    config = load(text, tmp_path, environment={"KEY": "k\n", "TOKEN": " a token of mine\r\n"})

    assert (config.llm.api_key, config.server.client_token) == ("k", "a token of mine")
    with pytest.raises(ValidationError, match="a space or a line break in it") as caught:
        load(text, tmp_path, environment={"KEY": "Bearer planted", "TOKEN": "12345678"})
    assert "planted" not in str(caught.value)


def test_a_mistake_in_the_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    wrong = {"BATCHATA_PROXY_PORT": "abc", "BATCHATA_PROXY_TYPE": "opnai"}

    with pytest.raises(ValidationError) as caught:
        load(f"llm: {{base_url: '{URL}', type: opnai}}", tmp_path, environment=wrong)

    assert "BATCHATA_PROXY_PORT: server.port is 'abc'" in str(caught.value)
    assert "BATCHATA_PROXY_TYPE" not in str(caught.value)  # the file's goes over it


def test_a_variable_that_a_file_of_upstreams_has_no_use_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchata.cli.proxy._serve", lambda found, as_json: None)
    monkeypatch.setenv("BATCHATA_PROXY_API_KEY", "planted")
    monkeypatch.setenv("BATCHATA_PROXY_PORT", "0")
    said = []
    for text in (f"upstreams: [{{base_url: '{URL}'}}]", f"llm: {{base_url: '{URL}'}}"):
        (tmp_path / "gateway.yaml").write_text(text)
        said.append(invoke("proxy", "run", "--config", f"{tmp_path}/gateway.yaml").stderr)

    assert "BATCHATA_PROXY_API_KEY is not used: the file has upstreams" in said[0]
    assert "planted" not in said[0]
    assert "is not used" not in said[1]


def test_a_host_that_is_answered_is_known_as_its_header_writes_it(tmp_path: Path) -> None:
    hosts = "['gw.internal', 'gw:4000', 'fd00::1', '[fd00::2]:80', '10.0.0.1']"

    config = load(f"llm: {{base_url: '{URL}'}}\nserver: {{allowed_hosts: {hosts}}}", tmp_path)

    known = ("gw.internal", "gw:4000", "[fd00::1]", "[fd00::2]:80", "10.0.0.1")
    assert config.server.allowed_hosts == known


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llm: {base_url: U}\nservr: {}", "unknown key 'servr' (did you mean 'server'?)"),
        ("llm: {base_url: U, typ: openai}", "unknown key 'llm.typ' (did you mean 'type'?)"),
        ("upstreams: [{base_url: U, modles: []}]", "unknown key 'upstreams[0].modles' (did you"),
        (
            "llm: {base_url: U, type: opnai}",
            "llm.type is 'opnai'; write one of openai, anthropic (did you",
        ),
        ("llm: {base_url: U, type: 5}", "llm.type is 5; write one of openai, anthropic"),
        ("llm: {base_url: U}\nserver: {port: abc}", "server.port is 'abc'; write a whole number"),
        ("llm: {base_url: U}\nserver: {port: 70000}", "is 70000; write at most 65535"),
        ("llm: {base_url: U}\nserver: {idle_seconds: 0}", "is 0; write more than 0"),
        ("llm: {base_url: U}\nserver: 5", "server is a number; write keys with values"),
        ("llm: {base_url: U, models: gpt-*}", "llm.models is text; write a list, as [a, b]"),
        ("llm: {base_url: U}\nserver: {client_token: abc}", "is too short; write 8 characters"),
        ("llm: {type: openai}", "llm.base_url is not given"),
        ("llm: {base_url: U}\nto_batch: {}", "to_batch.window is not given"),
        ("llm: {base_url: U}\nsessions: {enabled: maybe}", "'maybe'; write true or false"),
        ("llm: {base_url: U}\nprices: {m: {input: x}}", "prices.m.input is 'x'; write a number"),
        ("llm: {base_url: ftp://x}", "not an http or https address"),
        ("llm: {base_url: 'http://k:s@x'}", "write it as api_key"),
        ("{}", "there is no upstream"),
        ("llm: {base_url: U}\nserver: {host: 0.0.0.0}", "needs client_token"),
        ("[1]", "holds a list"),
        ("a: [", "is no YAML"),
        ("llm: {base_url: U}\nllm: {base_url: V}", "has 'llm' twice in one place, the second"),
        ("upstreams: [{base_url: U, type: openai, type: openai}]", "has 'type' twice"),
        ("llm: {base_url: U, api_key: $OPENAI_API_KEY}", "write ${OPENAI_API_KEY} for"),
        ("llm: {base_url: 'https://a b'}", "has a character that an address cannot have"),
        ("llm: {base_url: 'https://bücher.de'}", "write the host as xn--"),
        ("llm: {base_url: 'https://a:99999'}", "Port out of range"),
        ("llm: {base_url: 'https://a:b'}", "Port could not be cast"),
        ("llm: {base_url: 'https://a:0'}", "no server listens on port 0"),
        ("llm: {base_url: 'https://a..b'}", "'a..b' is not a host"),
        (
            "llm: {base_url: 'https://h/x/v1/chat/completions'}",
            "which clients add: write https://h/x",
        ),
        ("llm: {base_url: 'https://h/openai/responses/'}", "clients add: write https://h/openai"),
        ("llm: {base_url: U}\nserver: {allowed_hosts: ['*']}", "'*' is not a host: write a name"),
        ("llm: {base_url: U}\nserver: {allowed_hosts: ['http://a']}", "'http://a' is not a host"),
        (
            "llm: {base_url: U}\nprices: {m: {inputs: 1}}",
            "price of 'm' has an unknown key 'inputs'",
        ),
        ("llm: {base_url: U}\nprices: {m: {input: -1}}", "price 'input' of 'm' is -1"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        load(text.replace("U", URL), tmp_path)

    assert said in str(caught.value)


def test_a_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    text = f"llm: {{base_url: '{URL}'}}\nserver:\n  prot: 80\n  idle_seconds: 0\nnobody:\n"

    with pytest.raises(ValidationError) as caught:
        load(text, tmp_path)

    assert "line 3: unknown key 'server.prot'" in caught.value.message
    assert "line 4: server.idle_seconds is 0" in caught.value.message
    assert "line 5: unknown key 'nobody'" in caught.value.message


@pytest.mark.parametrize(
    ("interceptor", "said"),
    [
        ({"type": "budgte"}, "did you mean 'budget'?"),
        ({"type": "budget", "config": {"limit": 5}}, "did you mean 'limit_usd'?"),
        ({"type": "nowhere.at:All"}, "cannot be imported"),
        ({"type": "json:dumps"}, "is not an interceptor"),
    ],
)
def test_a_wrong_interceptor_is_named(interceptor: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_config(None, {("llm", "base_url"): URL}, interceptors=[interceptor], environment={})

    assert said in str(caught.value)


def test_flags_become_the_configuration_that_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("batchata.cli.proxy._serve", lambda found, as_json: served.append(found))
    upstream = ["--base-url", "https://api.anthropic.com", "--type", "anthropic"]
    tape = ["--record", "new", "--replay", "old", "--fallthrough", "--timing"]
    budget = ["--limit-usd", "5", "--per", "day", "--state", "s.db"]

    invoke("proxy", "run", *upstream, *tape, *budget, "--port", "0")
    invoke("proxy", "replay", "nowhere", "--repeat")

    run, replay = served
    assert (run.llm.type, run.server.port) == ("anthropic", 0)
    assert [(each.type, each.config) for each in run.interceptors] == [
        ("record", {"directory": "new"}),
        ("replay", {"directory": "old", "miss": "fallthrough", "timing": True}),
        ("budget", {"limit_usd": 5.0, "per": "day", "state": "s.db"}),
    ]
    assert replay.interceptors[0].config["miss"] == "repeat"
    assert replay.llm.base_url.startswith("http://127.0.0.1:")


def test_flags_that_were_not_given_change_nothing_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("batchata.cli.proxy._serve", lambda found, as_json: served.append(found))
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "llm: {base_url: https://api.openai.com}\nserver:\nlogging: {level: WARNING}\n"
        "interceptors:\n"
        "  - {type: replay, config: {directory: old, miss: fallthrough, timing: true}}\n"
        "  - {type: budget, config: {limit_usd: 1, per: key}}\n"
    )

    invoke("proxy", "run", "--config", str(file), "--replay", "new", "--per", "day")

    [config] = served
    assert config.logging.level == "warning"
    assert [each.config for each in config.interceptors] == [
        {"directory": "new", "miss": "fallthrough", "timing": True},
        {"limit_usd": 1, "per": "day"},
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--timing"], "--replay DIR"),
        (["--fallthrough"], "--replay DIR"),
        (["--per", "day"], "--limit-usd 5"),
        (["--state", "s.db"], "--limit-usd 5"),
    ],
)
def test_a_flag_that_says_nothing_by_itself_is_an_error(flags: list[str], said: str) -> None:
    done = invoke("proxy", "run", "--base-url", "https://api.openai.com", *flags)

    assert done.exit_code == 1
    assert f"write {said} too" in done.output


def test_the_written_file_is_valid_private_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"

    written = invoke("proxy", "generate-config", str(file), "--type", "anthropic")
    checked = invoke("proxy", "validate-config", str(file))
    again = invoke("proxy", "generate-config", str(file))

    assert (written.exit_code, checked.exit_code, again.exit_code) == (0, 0, 1)
    assert "https://api.anthropic.com" in checked.output
    assert "left as it is" in again.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_is_not_written_for_an_address_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"

    wrong = invoke("proxy", "generate-config", str(file), "--base-url", "api.openai.com")

    assert (wrong.exit_code, file.exists()) == (1, False)
    assert "not an http or https address" in wrong.stderr
    invoke("proxy", "generate-config", str(file), "--base-url", "https://api.anthropic.com")
    assert load_config(file, environment={}).sections[0].type == "anthropic"


def test_validating_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("llm: {base_url: 'http://x'}\ninterceptors: [{type: budget}]")

    found = invoke("proxy", "validate-config", str(file))

    assert found.exit_code == 1
    assert "write limit_usd: 5" in found.stderr


def test_a_file_that_is_no_yaml_is_told_by_its_place_and_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text('server: {}\nllm: {api_key: "sk-planted-1", base_url: ${URL}}\n')

    with pytest.raises(ValidationError, match=r"is no YAML: .* \(line 2, column 43\)") as caught:
        load_config(file, environment={})

    assert "sk-planted-1" not in f"{caught.value} {caught.value.__cause__}"
    assert "quotes" in str(caught.value.hint)


def test_the_start_says_what_cannot_be_done_without_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(
        given={"llm": {"base_url": URL}, "batches": {"directory": str(tmp_path)}}, environment={}
    )
    assert list(server.missing(config)) == []

    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setattr(server, "find_spec", lambda name: None)

    assert [each.split()[-1] for each in server.missing(config)] == ["unknown", "Parquet"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "llm: {base_url: 'https://api.openai.com'}",
            ["OPENAI_BASE_URL=http://here/v1"],
        ),
        (
            "llm: {base_url: 'https://api.anthropic.com/v1/'}",
            ["ANTHROPIC_BASE_URL=http://here"],
        ),
        (
            "llm: {base_url: 'http://127.0.0.1:8000'}",
            ["OPENAI_BASE_URL=http://here/v1", "ANTHROPIC_BASE_URL=http://here"],
        ),
        (
            "upstreams: [{base_url: 'http://vllm'}, {base_url: 'http://c', type: anthropic, "
            "prefix: /claude}]",
            ["OPENAI_BASE_URL=http://here/v1", "ANTHROPIC_BASE_URL=http://here/claude"],
        ),
    ],
)
def test_the_start_says_how_each_vendors_clients_come_in(
    text: str, said: list[str], tmp_path: Path
) -> None:
    shown = _welcome("http://here", load(text, tmp_path))

    assert [line.split()[1] for line in shown.splitlines() if "export " in line] == said


def test_what_serves_recordings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("batchata.cli.proxy._serve", lambda found, as_json: served.append(found))

    invoke("proxy", "replay", "cassettes")

    assert "Gateway on http://here for recordings." in _welcome("http://here", served[0])
