"""The fixture `batchata_gateway`, in runs of pytest of their own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import openai
import pytest

from batchata.gateway import CassetteGateway, HttpFault, Sandbox, Scenario

pytest_plugins = ["pytester"]

PLUGIN = "batchata.gateway.pytest_plugin"
PAGE = Path(__file__).parents[2] / "docs/how-to/test-with-cassettes.md"
CASSETTE = "cassettes/test_app/test_it.jsonl"
TEST = """
import anthropic, openai

def ask(content):
    messages = [{"role": "user", "content": content}]
    with openai.OpenAI(max_retries=0) as client:
        return client.chat.completions.create(model="gpt-6-luna", messages=messages)

def test_it(batchata_gateway):
    ask("Name a river.")
    with anthropic.Anthropic(max_retries=0) as client:
        messages = [{"role": "user", "content": "Name a lake."}]
        with client.messages.stream(
            model="claude-haiku-5-5", max_tokens=9, messages=messages
        ) as stream:
            assert "".join(stream.text_stream)
    assert [each.model for each in batchata_gateway.exchanges][:1] == ["gpt-6-luna"]
"""


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What runs of pytest import is imported once for all of them."""
    tape = tmp_path_factory.mktemp("tape") / "tape.jsonl"
    with (
        Sandbox() as box,
        CassetteGateway(tape, record="once", config={"llm": {"base_url": box.url}}) as gateway,
        openai.OpenAI(base_url=gateway.openai_base_url, api_key="k") as client,
    ):
        client.chat.completions.create(
            model="gpt-6-luna", messages=[{"role": "user", "content": "hi"}]
        )


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with one test, that knows no key and whose vendor is gone."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(test_app=TEST)
    asking(pytester, "http://127.0.0.1:1")
    return pytester


def asking(project: pytest.Pytester, url: str) -> None:
    project.makeconftest(
        "import pytest\n@pytest.fixture(scope='session')\ndef batchata_gateway_config():\n"
        f"    return {{'llm': {{'base_url': {url!r}}}}}\n"
    )


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", *arguments)


def record(project: pytest.Pytester, box: Sandbox, mode: str) -> int:
    """Run with a vendor and a key; how many calls the vendor has answered."""
    asking(project, box.url)
    box.reset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-planted-0123456789abcdef")
        patch.setenv("ANTHROPIC_API_KEY", "sk-ant-planted-0123456789abcdef")
        run(project, f"--batchata-record={mode}").assert_outcomes(passed=1)
    asking(project, "http://127.0.0.1:1")
    return len(box.ledger.live)


def test_a_recorded_test_needs_no_vendor_and_no_key(project: pytest.Pytester) -> None:
    with Sandbox() as box:
        assert record(project, box, "once") == 2
        assert record(project, box, "once") == 0  # what the cassette has is not paid for again
    cassette = (project.path / CASSETTE).read_text()

    run(project).assert_outcomes(passed=1)

    assert len(cassette.splitlines()) == 2
    assert "planted" not in cassette


def test_the_refusal_of_a_wrong_key_is_not_kept(project: pytest.Pytester) -> None:
    with Sandbox(Scenario(http=(HttpFault(action="status", status=401),))) as box:
        asking(project, box.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", "wrong")
            run(project, "--batchata-record=once", "--tb=no").assert_outcomes(failed=1)

    assert not (project.path / CASSETTE).exists()


def test_what_is_not_in_the_cassette_fails_the_test_also_where_its_code_hides_that(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_app=TEST
        + "\ndef test_hidden(batchata_gateway):\n    try:\n        ask('hi')\n"
        + "    except openai.NotFoundError:\n        pass\n"
    )

    found = run(project)

    found.assert_outcomes(failed=1, passed=1, errors=2)
    found.stdout.fnmatch_lines_random(
        [
            "*POST /v1/chat/completions of gpt-6-luna was not recorded; nothing was sent.*",
            "*Record it with: pytest --batchata-record=once 'test_app.py::test_hidden'*",
        ]
    )
    assert not (project.path / "cassettes").exists()


def test_a_new_question_is_added_and_all_writes_the_cassette_anew(
    project: pytest.Pytester,
) -> None:
    with Sandbox() as box:
        record(project, box, "once")
        project.makepyfile(test_app=TEST.replace("a river", "a brook"))
        added = record(project, box, "once")
        both = (project.path / CASSETTE).read_text()
        anew = record(project, box, "all")
    left = (project.path / CASSETTE).read_text()

    assert (added, anew) == (1, 2)
    assert (len(both.splitlines()), len(left.splitlines())) == (3, 2)
    assert "river" in both
    assert "river" not in left
    assert [path.name for path in (project.path / CASSETTE).parent.iterdir()] == ["test_it.jsonl"]


def test_each_case_of_a_test_has_its_own_cassette(project: pytest.Pytester) -> None:
    cases = ["a b", "a-b", "a/b", "a", "a-", ""]
    project.makepyfile(
        test_app=TEST.partition("def test_it")[0]
        + f"import pytest\n@pytest.mark.parametrize('what', {cases})\n"
        + "def test_case(batchata_gateway, what): ask(what)\n"
    )
    with Sandbox() as box, pytest.MonkeyPatch.context() as patch:
        asking(project, box.url)
        patch.setenv("OPENAI_API_KEY", "k")
        run(project, "--batchata-record=all").assert_outcomes(passed=len(cases))

    run(project).assert_outcomes(passed=len(cases))

    names = {path.name for path in (project.path / "cassettes/test_app").iterdir()}
    assert len(names) == len(cases)
    assert {"test_case-a.jsonl", "test_case-a-b.jsonl"} < names


def test_the_tests_of_the_page_run(project: pytest.Pytester) -> None:
    blocks = [each.partition("```")[0] for each in PAGE.read_text().split("```python\n")[1:]]
    project.makepyfile(test_app="", test_rivers="\n".join(blocks[:2]))
    with Sandbox() as box, pytest.MonkeyPatch.context() as patch:
        asking(project, box.url)
        patch.setenv("OPENAI_API_KEY", "k")
        run(project, "--batchata-record=all").assert_outcomes(passed=2)
    patch.undo()
    project.makeconftest(blocks[2])

    run(project).assert_outcomes(passed=2)

    names = {path.name for path in (project.path / "cassettes").rglob("*.jsonl")}
    assert names == {"rivers.jsonl", "test_a_river_has_a_name.jsonl"}


def test_an_installed_package_brings_the_plugin() -> None:
    project = tomllib.loads((PAGE.parents[2] / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"batchata": PLUGIN}


def test_a_run_that_does_not_use_it_pays_nothing_for_it() -> None:
    code = (
        f"import sys, {PLUGIN}\n"
        "heavy = {'aiohttp', 'anthropic', 'openai', 'orjson', 'pydantic', 'tiktoken', 'typer'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
