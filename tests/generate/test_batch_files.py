"""OpenAI's batch files through `generate` and `run`: requests in, answers out, as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from generation_lab import MODEL, GenerationLab, said, server_of
from typer.testing import CliRunner

from batchata.cli.app import app
from batchata.gateway import HttpFault, Scenario


def request(name: str, **body: Any) -> dict[str, Any]:
    """A line of an input file."""
    said = {"model": MODEL, "messages": [{"role": "user", "content": f"hello {name}"}], **body}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": said}


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def files(made: GenerationLab, monkeypatch: pytest.MonkeyPatch) -> GenerationLab:
    """A folder with an input file; the sandbox is where OpenAI would be."""
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("OPENAI_BASE_URL", made.box.openai_base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sandbox")
    write(Path("in.jsonl"), [request(name) for name in "cab"])
    return made


def command(*args: str, code: int = 0) -> str:
    """Run a command over in.jsonl and out.jsonl; what it said."""
    given = [*args, "--from-batch-file", "in.jsonl", "--to-batch-file", "out.jsonl"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == code, f"{args}: {done.stdout} {done.stderr} {done.exception!r}"
    return done.stderr


def test_requests_reach_the_server_as_they_are_and_bodies_come_back_whole(
    files: GenerationLab,
) -> None:
    lines = [request("a", top_k=3, logprobs=True), request("b", guided_json={"type": "object"})]
    write(Path("in.jsonl"), lines)
    choice = {**said("hi", reasoning="hm", tool_calls=[]), "logprobs": {"content": []}}
    with server_of(lambda _: [choice, choice]) as server:
        command("generate", "-m", server.url)

    assert sorted(server.bodies, key=str) == sorted((line["body"] for line in lines), key=str)
    found = read(Path("out.jsonl"))
    assert [line["custom_id"] for line in found] == ["a", "b"]
    for line in found:
        assert line["response"]["status_code"] == 200
        assert line["error"] is None
        body = line["response"]["body"]
        assert [each["message"]["reasoning"] for each in body["choices"]] == ["hm", "hm"]
        assert body["choices"][0]["logprobs"] == {"content": []}
        assert body["usage"]["total_tokens"] == 8


@pytest.mark.parametrize("route", [["--live"], ["--route", "batch"]])
def test_run_asks_openai_on_either_route_in_the_order_of_the_file(
    files: GenerationLab, route: list[str]
) -> None:
    command("run", *route, "--poll-factor", "0.001", "--limit-usd", "10")

    found = read(Path("out.jsonl"))
    assert [line["custom_id"] for line in found] == ["c", "a", "b"]
    assert all(line["response"]["body"]["object"] == "chat.completion" for line in found)


def test_again_nothing_is_asked_and_more_lines_are(files: GenerationLab) -> None:
    command("generate")
    before = Path("out.jsonl").read_bytes()
    command("generate")
    assert Path("out.jsonl").read_bytes() == before
    assert len(files.calls) == 3

    write(Path("in.jsonl"), [request(name) for name in "cabd"])
    command("generate")

    assert [line["custom_id"] for line in read(Path("out.jsonl"))] == ["c", "a", "b", "d"]
    assert len(files.calls) == 4


def test_a_refused_request_has_an_error_in_its_line(files: GenerationLab) -> None:
    write(Path("in.jsonl"), [request("a", temperature=9), request("b")])

    command("run", "--route", "live", code=3)

    bad, good = read(Path("out.jsonl"))
    assert (bad["custom_id"], bad["response"]) == ("a", None)
    assert bad["error"]["code"] == "invalid_request"
    assert "temperature" in bad["error"]["message"]
    assert good["error"] is None


def test_other_endpoints_of_the_format_work(files: GenerationLab) -> None:
    embedding = {"model": "text-embedding-3-small", "input": "hello"}
    answer = {"model": "gpt-6-luna", "input": "hello", "max_output_tokens": 50}
    write(
        Path("in.jsonl"),
        [
            {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": embedding},
            {"custom_id": "r", "method": "POST", "url": "/v1/responses", "body": answer},
        ],
    )

    command("run", "--route", "live")

    one, two = (line["response"]["body"] for line in read(Path("out.jsonl")))
    assert one["data"][0]["embedding"]
    assert two["object"] == "response"


def test_files_as_other_systems_write_them_are_read(files: GenerationLab) -> None:
    lines = [json.dumps(request(name)) for name in "ab"]
    Path("in.jsonl").write_bytes("\ufeff{}\r\n\r\n{}\r\n".format(*lines).encode())

    command("generate")

    assert [line["custom_id"] for line in read(Path("out.jsonl"))] == ["a", "b"]


def test_several_servers_share_a_file_and_a_dead_one_is_left_out(files: GenerationLab) -> None:
    write(Path("in.jsonl"), [request(str(number)) for number in range(20)])
    with server_of(lambda _: [said("a")]) as one, server_of(lambda _: [said("b")]) as two:
        command("generate", "-m", one.url, "-m", two.url, "-m", "http://127.0.0.1:9")

    assert min(len(one.bodies), len(two.bodies)) > 5
    assert len(read(Path("out.jsonl"))) == 20


def test_a_server_that_fails_for_a_while_is_asked_again(files: GenerationLab) -> None:
    fault = HttpFault(action="status", route="openai.chat*", times=2, status=503)
    files.box.set_scenario(Scenario(http=(fault,)))

    command("generate", "--retry-delay", "0.001")

    assert all(line["error"] is None for line in read(Path("out.jsonl")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not a request"),
        ('{"custom_id": "x", "url": "/v1/chat/completions"}', "line 2 is not a request"),
        ('{"custom_id": "x", "url": "/v1/chat/completions", "body": {}}', "`model`"),
        ('{"custom_id": "x", "url": "/v1/audio", "body": {"model": "m"}}', "POST /v1/audio"),
        (json.dumps(request("c")), "'c'"),
        (json.dumps(request("s", stream=True)), "stream"),
    ],
)
def test_a_line_that_cannot_be_sent_is_told_before_anything_is(
    files: GenerationLab, line: str, said: str
) -> None:
    path = Path("in.jsonl")
    first = path.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{first}\n{line}\n", encoding="utf-8")

    told = command("generate", code=3 if "stream" in said else 1)

    text = told if "stream" not in said else Path("out.jsonl").read_text(encoding="utf-8")
    assert said in text
    assert len(files.calls) == (1 if "stream" in said else 0)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["generate", "--max-tokens", "3"], 1, "generation.max_tokens has no effect"),
        (["generate", "--workers", "3"], 1, "processing.workers has no effect"),
        (["run", "-m", "gpt-6-luna"], 2, "--model has no effect"),
        (["run", "rows.csv"], 2, "FILE has no effect"),
        (["run", "--pilot", "3"], 2, "--pilot has no effect"),
    ],
)
def test_options_without_effect_are_refused(
    files: GenerationLab, args: list[str], code: int, said: str
) -> None:
    Path("rows.csv").write_text("a\n1\n", encoding="utf-8")

    assert said in " ".join(command(*args, code=code).split())


def test_both_names_are_needed_and_a_file_of_the_user_is_kept(files: GenerationLab) -> None:
    alone = CliRunner().invoke(app, ["generate", "--from-batch-file", "in.jsonl"])
    assert alone.exit_code == 2
    Path("out.jsonl").write_text("mine", encoding="utf-8")

    assert "exists already" in command("generate", code=1)

    assert Path("out.jsonl").read_text(encoding="utf-8") == "mine"
