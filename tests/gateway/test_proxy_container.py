"""The container's files agree with the gateway that they start."""

from __future__ import annotations

import json
import os
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
            health = ask_health(url)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, process.stderr.read()

    assert (reply.status, health.returncode) == (200, 0)
    assert upstream.seen[0].all(b"authorization") == [b"Bearer sk-planted"]
    written = [each for each in data.rglob("*") if each.is_file()]
    assert {each.name for each in written} >= {"events.jsonl", "gateway.db"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in written} == {0o600}
    said = b"".join(each.read_bytes() for each in written)
    assert b"sk-planted" not in said
    assert TOKEN.encode() not in said


def ask_health(url: str) -> subprocess.CompletedProcess[str]:
    """Run the health check's command, as a container would whose gateway listens there."""
    _, *program = command_of("HEALTHCHECK .* CMD ")
    environment = os.environ | {"BATCHATA_PROXY_PORT": url.rpartition(":")[2]}
    return subprocess.run(
        [sys.executable, *program], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("token", "status", "code"), [(TOKEN, 200, 0), ("a-guess", 401, 1)])
def test_the_health_check_asks_the_gateway_itself_with_the_token(
    monkeypatch: pytest.MonkeyPatch, token: str, status: int, code: int
) -> None:
    monkeypatch.setenv("BATCHATA_PROXY_CLIENT_TOKEN", token)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # Docker gives its own to containers

    with Gateway("http://127.0.0.1:1", client_token=TOKEN) as gateway:
        health = ask_health(gateway.url)

    assert (health.returncode, health.stdout) == (code, f"{status}\n"), health.stderr


def test_builders_of_every_make_and_age_take_the_files() -> None:
    [check] = re.findall(r"^HEALTHCHECK (.+) CMD", DOCKERFILE, re.M)
    options = {*re.findall(r"--([\w-]+)=", check)}
    images = [each["image"] for each in COMPOSE["services"].values() if "image" in each]
    [user] = re.findall(r"^USER (.+)$", DOCKERFILE, re.M)

    assert options <= {"interval", "timeout", "start-period", "retries"}  # Podman 4 knows these
    assert all(each.startswith("docker.io/") for each in images)  # Podman looks nowhere by itself
    assert user.isdigit()  # Kubernetes takes no name for one that is not root
