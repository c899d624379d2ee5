"""The container's files agree with the gateway that they start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import VARIABLES, load_config
from batchata.gateway.proxy.config.registry import make_interceptor

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
