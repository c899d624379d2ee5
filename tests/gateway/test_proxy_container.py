"""The container's files agree with the gateway that they start."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from killable_lab import run_with_no_umask
from raw_lab import JSON, OK, RawUpstream, call, request_bytes

from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import VARIABLES, load_config
from batchata.gateway.proxy.config.registry import make_interceptor

if TYPE_CHECKING:
    from zygote import Zygote

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "containers" / "gateway"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
TOKEN = "a-token-of-clients"


def test_the_configuration_holds_in_the_container() -> None:
    given = dict(re.findall(r"(BATCHATA_\w+)=(\S+)", DOCKERFILE))
    asked = COMPOSE["services"]["gateway"]["environment"]
    environment = {**given, **dict.fromkeys(asked, TOKEN)}

    config = load_config(FOLDER / "gateway.yaml", environment=environment)

    assert {name for name in environment if name.startswith("BATCHATA_")} <= VARIABLES.keys()
    assert (config.server.host, config.server.client_token) == ("0.0.0.0", TOKEN)
    assert config.llm is not None
    assert config.llm.api_key == TOKEN
    written = [made for each in config.interceptors if (made := each.config)]
    assert all(str(value).startswith("/data/") for each in written for value in paths(each))
    for each in config.interceptors:
        make_interceptor(each.type, each.config)


def paths(config: dict[str, Any]) -> list[str]:
    return [value for value in config.values() if isinstance(value, str) and "/" in value]


def test_what_the_image_takes_in_and_mounts_is_there() -> None:
    for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M):
        for name in line.split():
            assert (ROOT / name).exists()
    build = COMPOSE["services"]["gateway"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).exists()
    mounts = [each.split(":")[0] for each in COMPOSE["services"]["gateway"]["volumes"]]
    assert (FOLDER / mounts[0]).exists()
    assert mounts[1] in COMPOSE["volumes"]


def command_of(instruction: str) -> list[str]:
    """The command of an instruction in the form of a JSON list, as Docker would run it."""
    lines = DOCKERFILE.replace("\\\n", "")
    [found] = re.findall(rf"^{instruction}(\[.+\])$", lines, re.M)
    return list(json.loads(found))


def test_it_is_started_asked_and_stopped_as_docker_does_it(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, arguments = command_of("ENTRYPOINT "), command_of("CMD ")
    check = command_of("HEALTHCHECK .* CMD ")
    for name, value in re.findall(r"(BATCHATA_\w+)=(\S+)", DOCKERFILE):
        monkeypatch.setenv(name, value)
    for name, value in COMPOSE["services"]["gateway"]["environment"].items():
        monkeypatch.setenv(name, TOKEN if "TOKEN" in value else "sk-planted")
    monkeypatch.setenv("BATCHATA_PROXY_PORT", "0")  # 4000 may be taken on this machine
    asked = {"model": "gpt-6-luna", "max_completion_tokens": 9, "messages": []}
    key = b"Authorization", b"Bearer " + TOKEN.encode()
    request = request_bytes(
        b"/v1/chat/completions", key, JSON, method=b"POST", body=orjson.dumps(asked)
    )

    with RawUpstream(lambda connection, seen: connection.sendall(OK)) as upstream:
        text = (FOLDER / "gateway.yaml").read_text(encoding="utf-8")
        file, data = tmp_path / "gateway.yaml", tmp_path / "data"
        file.write_text(
            text.replace("https://api.openai.com", upstream.url).replace("/data", str(data))
        )
        data.mkdir()
        command = [
            str(file) if each == "/etc/batchata/gateway.yaml" else each for each in arguments
        ]
        assert entry[0] == "batchata"
        with zygote.start(run_with_no_umask, [*entry[1:], *command]) as process:
            url = process.stdout.readline().decode().split()[2]
            assert url.startswith("http://127.0.0.1:")
            reply = call(url, request)
            program = [
                part.replace("127.0.0.1:4000", url.removeprefix("http://")) for part in check
            ]
            healthy = subprocess.run([sys.executable, *program[1:]], check=False).returncode
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, process.stderr.read()

    assert (reply.status, healthy) == (200, 0)
    assert upstream.seen[0].all(b"authorization") == [b"Bearer sk-planted"]
    written = [each for each in data.rglob("*") if each.is_file()]
    assert {each.name for each in written} >= {"events.jsonl", "gateway.db"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in written} == {0o600}
    said = b"".join(each.read_bytes() for each in written)
    assert b"sk-planted" not in said
    assert TOKEN.encode() not in said


def test_the_health_check_asks_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    [check] = re.findall(r'"-c", "\\\n(.+?)"\]', DOCKERFILE, re.S)
    program = check.replace("\\\n", "")
    monkeypatch.setenv("BATCHATA_PROXY_CLIENT_TOKEN", TOKEN)

    with Gateway("http://127.0.0.1:1", client_token=TOKEN) as gateway:
        place = gateway.url.removeprefix("http://")
        exec(program.replace("127.0.0.1:4000", place))
        monkeypatch.setenv("BATCHATA_PROXY_CLIENT_TOKEN", "another-token")
        with pytest.raises(OSError, match="401"):
            exec(program.replace("127.0.0.1:4000", place))
