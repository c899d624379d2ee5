"""A logger that is attached to LangChain's models, tools and chains."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from batchata import read_events
from batchata.core.errors import EventLogError, ValidationError
from batchata.gateway import HttpFault, Sandbox, Scenario, with_faults
from batchata.sinks.eventlog.place import Place, place_of

if TYPE_CHECKING:
    import langchain_lab

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


def events_of(folder: Path, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of the log, what an event does not say left out."""
    rows = read_events(folder / "logs", **wanted).to_dict("records")
    return [{name: value for name, value in row.items() if value == value} for row in rows]


def kinds_of(folder: Path) -> list[str]:
    return [each["event_type"] for each in events_of(folder)]


@PROVIDERS
def test_a_call_is_logged_with_question_answer_and_tokens(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    with lc.still(tmp_path) as logger:
        llm = lc.model(provider, box, callbacks=[logger])

        said = llm.invoke("Name a river.", lc.with_tags("tour", custom_id=0))

    start, end = events_of(tmp_path)
    assert (start["event_type"], end["event_type"]) == ("chat_model_start", "llm_end")
    assert start["prompt"] == "Name a river."
    assert end["answer"] == said.content
    assert end["input_tokens"] == said.usage_metadata["input_tokens"]
    assert end["latency_seconds"] > 0
    for each in (start, end):
        assert each["logger_custom_id"] == "0"
        assert each["provider"] == provider
        assert each["model"] == lc.MODELS[provider]
        assert each["run_id"] == start["run_id"]


@PROVIDERS
def test_a_stream_is_logged_once_and_whole(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    with lc.still(tmp_path) as logger:
        llm = lc.model(provider, box, callbacks=[logger])

        said = "".join(each.text for each in llm.stream("Name a river."))

    assert kinds_of(tmp_path) == ["chat_model_start", "llm_end"]
    assert events_of(tmp_path)[-1]["answer"] == said


def test_a_stream_that_broke_off_is_logged_with_what_had_come(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(with_faults(Scenario(), "stream-error"))
    with lc.still(tmp_path) as logger:
        llm = lc.model("openai", box, callbacks=[logger])

        with pytest.raises(Exception, match=r".") as broke:
            list(llm.stream("Name a river."))

    end = events_of(tmp_path)[-1]
    assert end["event_type"] == "llm_error"
    assert end["answer"].startswith("Scripted")
    assert end["error"] == str(broke.value)


@PROVIDERS
def test_many_calls_at_once_in_a_loop_are_logged_each_under_its_id(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    with lc.still(tmp_path) as logger:
        llm = lc.model(provider, box, callbacks=[logger], timeout=77)

        async def work() -> Any:
            calls = (llm.ainvoke(f"q{n}", lc.with_tags(custom_id=n)) for n in range(10))
            return await asyncio.gather(*calls)

        said = lc.run_async(provider, llm, work)

    logged = {each["logger_custom_id"]: each["answer"] for each in events_of(tmp_path)[10:]}
    assert logged == {str(n): each.content for n, each in enumerate(said)}


@PROVIDERS
def test_structured_output_is_logged(
    provider: str, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    with lc.still(tmp_path, event_types=lc.EventType.all_events()) as logger:
        llm = lc.model(provider, box).with_structured_output(lc.City)

        city = llm.invoke("Name a city.", {"callbacks": [logger], "tags": ["logger_custom_id:c"]})

    rows = events_of(tmp_path)
    assert isinstance(city, lc.City)
    assert {each["logger_custom_id"] for each in rows} == {"c"}
    [answer] = [each["answer"] for each in rows if each["event_type"] == "llm_end"]
    assert city.name in answer
    ends = [orjson.loads(each["payload"]) for each in rows if each["event_type"] == "chain_end"]
    assert any(each["data"]["outputs"] == city.model_dump() for each in ends)


def test_an_answer_that_does_not_fit_its_schema_leaves_an_error(
    lc: langchain_lab, tmp_path: Path
) -> None:
    from langchain_core.output_parsers import PydanticOutputParser

    with lc.still(tmp_path, event_types=["llm_end", "chain_error"]) as logger:
        chain = lc.ready("no JSON") | PydanticOutputParser(pydantic_object=lc.City)

        with pytest.raises(ValueError, match="no JSON"):
            chain.invoke("Name a city.", {"callbacks": [logger]})

    assert "chain_error" in kinds_of(tmp_path)
    assert "no JSON" in events_of(tmp_path, event_type="chain_error")[0]["error"]


def test_a_call_that_fails_is_logged_with_its_error(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(Scenario(http=[HttpFault(action="status", status=503, times=None)]))
    with lc.still(tmp_path) as logger:
        llm = lc.model("openai", box, callbacks=[logger])

        with pytest.raises(Exception, match="503"):
            llm.invoke("Name a river.")

    start, end = events_of(tmp_path)
    assert end["event_type"] == "llm_error"
    assert "503" in end["error"]
    assert end["model"] == start["model"]


def test_every_part_of_a_chain_begins_and_ends(lc: langchain_lab, tmp_path: Path) -> None:
    chain = lc.ChatPromptTemplate.from_template("{x}?") | lc.ready() | lc.StrOutputParser()
    with lc.still(tmp_path, event_types=lc.EventType.all_events()) as logger:
        chain.invoke({"x": "Why"}, {"callbacks": [logger]})

    rows = events_of(tmp_path)
    starts = {each["run_id"] for each in rows if each["event_type"].endswith("_start")}
    ends = {each["run_id"] for each in rows if each["event_type"].endswith("_end")}
    names = [each["model"] for each in rows if each["event_type"] == "chain_start"]
    assert names == ["RunnableSequence", "ChatPromptTemplate", "StrOutputParser"]
    assert len(starts) == 4
    assert starts == ends
    [root] = [each["run_id"] for each in rows if "parent_run_id" not in each][:1]
    assert sum(each.get("parent_run_id") == root for each in rows) == 6


def test_tools_and_retrievers_are_logged(lc: langchain_lab, tmp_path: Path) -> None:
    with lc.still(tmp_path, event_types=["tool_end", "tool_error", "retriever_end"]) as logger:
        config = {"callbacks": [logger]}

        lc.weather.invoke({"place": "Oslo"}, config)
        with pytest.raises(LookupError):
            lc.weather.invoke({"place": "nowhere"}, config)
        lc.Shelf().invoke("Oslo", config)
        with pytest.raises(LookupError):
            lc.Shelf().invoke("break", config)

    called, broke, found = events_of(tmp_path)
    assert called["answer"] == "fine in Oslo"
    assert broke["error"] == "no such place"
    assert "about Oslo" in found["payload"]


def test_agents_are_logged(lc: langchain_lab, tmp_path: Path) -> None:
    from langchain_core.agents import AgentAction, AgentFinish
    from langchain_core.callbacks import CallbackManager

    with lc.still(tmp_path, event_types=["agent_action", "agent_finish"]) as logger:
        tags = lc.with_tags(custom_id="a")["tags"]
        run = CallbackManager([logger], inheritable_tags=tags).on_chain_start({}, {"input": "?"})
        run.on_agent_action(AgentAction("weather", {"place": "Oslo"}, "looking"))
        run.on_agent_finish(AgentFinish({"output": "fine"}, "done"))

    said = [orjson.loads(each["payload"])["data"] for each in events_of(tmp_path)]
    assert said == [
        {"action": {"tool": "weather", "tool_input": {"place": "Oslo"}, "log": "looking"}},
        {"finish": {"return_values": {"output": "fine"}, "log": "done"}},
    ]


def test_without_langchain_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("batchata.integrations")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langchain_core", None)

    with pytest.raises(ValidationError, match=r"batchata\[langchain\]"):
        importlib.import_module("batchata.integrations.langchain")


@pytest.mark.slow
def test_a_graph_is_logged(lc: langchain_lab, tmp_path: Path) -> None:
    from langgraph.graph import END, START, MessagesState, StateGraph

    llm = lc.ready("from the node")
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    config = lc.with_tags(custom_id="g")

    with lc.still(tmp_path, event_types=lc.EventType.all_events()) as logger:
        graph.compile().invoke({"messages": ["Hello"]}, {**config, "callbacks": [logger]})

    rows = events_of(tmp_path)
    names = {each["model"] for each in rows if each["event_type"] == "chain_start"}
    [answer] = [each for each in rows if each["event_type"] == "llm_end"]
    assert {"LangGraph", "ask"} <= names
    assert (answer["logger_custom_id"], answer["answer"]) == ("g", "from the node")


def test_twenty_threads_and_two_hundred_tasks_lose_nothing(
    lc: langchain_lab, tmp_path: Path
) -> None:
    llm = lc.ready()

    def ask(number: int) -> None:
        llm.invoke("?", {"callbacks": [logger], **lc.with_tags(custom_id=f"thread-{number}")})

    async def ask_soon(number: int) -> None:
        config = {"callbacks": [logger], **lc.with_tags(custom_id=f"task-{number}")}
        await llm.ainvoke("?", config)

    async def many() -> None:
        await asyncio.gather(*(ask_soon(number) for number in range(200)))

    with (
        lc.part.ParquetLogger(tmp_path / "logs", buffer_size=7) as logger,
        ThreadPoolExecutor(21) as pool,
    ):
        waiting = [pool.submit(ask, number) for number in range(20)]
        waiting.append(pool.submit(asyncio.run, many()))
        for each in waiting:
            each.result()

    ids = [each["logger_custom_id"] for each in events_of(tmp_path, event_type="llm_end")]
    expected = [f"thread-{n}" for n in range(20)] + [f"task-{n}" for n in range(200)]
    assert sorted(ids) == sorted(expected)


def test_a_killed_process_loses_no_event(lc: langchain_lab, tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        lc.ready().invoke("?", {"callbacks": [lc.still(tmp_path)]})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    lc.still(tmp_path).flush()

    assert kinds_of(tmp_path) == ["chat_model_start", "llm_end"]


def test_a_write_that_fails_disturbs_no_call_and_drops_nothing(
    lc: langchain_lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way")
    logger = lc.still(tmp_path)

    lc.ready().invoke("?", {"callbacks": [logger]})
    was_written = logger.flush()
    (tmp_path / "logs").unlink()

    assert not was_written
    assert "tried again" in caplog.text
    assert logger.flush()
    assert kinds_of(tmp_path) == ["chat_model_start", "llm_end"]


@pytest.mark.parametrize(("on_failure", "is_raised"), [("error", True), ("continue", False)])
def test_a_bucket_that_must_be_written_to_stops_the_calls_when_it_is_not(
    on_failure: str, is_raised: bool, lc: langchain_lab, tmp_path: Path
) -> None:
    (tmp_path / "bucket").write_text("in the way")

    class Blocked(lc.S3Config):  # type: ignore[misc]
        def place(self) -> Place:
            return place_of(tmp_path / "bucket")

    logger = lc.still(tmp_path, s3_config=Blocked(bucket="b", on_failure=on_failure))
    lc.ready().invoke("?", {"callbacks": [logger]})

    if is_raised:
        with pytest.raises(EventLogError, match="bucket"):
            logger.flush()
        with pytest.raises(EventLogError, match="bucket"):
            lc.ready().invoke("?", {"callbacks": [logger]})
    else:
        assert not logger.flush()
        lc.ready().invoke("?", {"callbacks": [logger]})
    (tmp_path / "bucket").unlink()
    assert logger.flush()


def test_no_key_reaches_a_file(lc: langchain_lab, box: Sandbox, tmp_path: Path) -> None:
    options = lc.part.LLMConfig(llm_class=lc.ChatOpenAI, llm_kwargs={"api_key": lc.KEY})
    told = {"config": options.to_metadata_dict(), "note": "sk-aaaabbbbccccddddeeee"}
    types = lc.EventType.all_events()
    logger = lc.still(
        tmp_path, logger_metadata=told, event_types=types, raw=True, secrets=["opensesame"]
    )

    lc.model("openai", box).invoke(
        "Say opensesame.", {"callbacks": [logger], "metadata": {"api_key": lc.KEY}}
    )

    def written() -> str:
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        return "".join(each.read_bytes().decode("utf-8", "replace") for each in files)

    journal = written()
    logger.flush()
    table = read_events(tmp_path / "logs").to_csv()
    for text in (journal, written(), table):
        assert lc.KEY not in text
        assert "sk-aaaa" not in text
        assert "opensesame" not in text
    assert "[redacted]" in journal
    assert "[redacted]" in table


@pytest.mark.parametrize(("raw", "times"), [(False, 1), (True, 3)])
def test_an_answer_is_stored_once_unless_everything_is_asked_for(
    raw: bool, times: int, lc: langchain_lab, tmp_path: Path
) -> None:
    with lc.still(tmp_path, raw=raw) as logger:
        lc.ready("a long answer").invoke("?", {"callbacks": [logger]})

    [end] = events_of(tmp_path, event_type="llm_end")
    assert end["payload"].count("a long answer") == times


def test_two_loggers_of_one_place_never_write_the_same_file(
    lc: langchain_lab, tmp_path: Path
) -> None:
    with lc.still(tmp_path) as one, lc.still(tmp_path) as two:
        for logger in (one, two):
            lc.ready().invoke("?", {"callbacks": [logger]})

    files = list((tmp_path / "logs").rglob("*.parquet"))
    days = {f"date={each['timestamp']:%Y-%m-%d}" for each in events_of(tmp_path)}
    assert len(files) == 2
    assert {each.parent.name for each in files} == days


def test_without_partitions_the_files_lie_flat(lc: langchain_lab, tmp_path: Path) -> None:
    with lc.still(tmp_path, partition_on=None) as logger:
        lc.ready().invoke("?", {"callbacks": [logger]})

    assert len(list((tmp_path / "logs").glob("*.parquet"))) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"buffer_size": 0}, "buffer_size"),
        ({"event_types": ["llm_strat"]}, "llm_strat"),
        ({"partition_on": "hour"}, "partition_on"),
        ({"s3_config": {"buket": "b"}}, "buket"),
        ({"s3_config": {"bucket": "b", "on_failure": "shrug"}}, "shrug"),
    ],
)
def test_options_that_mean_nothing_are_told(
    options: dict[str, Any], complaint: str, lc: langchain_lab, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        lc.still(tmp_path, **options)


def test_every_name_of_the_package_is_there() -> None:
    from batchata.integrations import langchain
    from batchata.integrations.background import retrieve_background_responses

    assert all(getattr(langchain, name) is not None for name in langchain.__all__)
    assert langchain.retrieve_background_responses is retrieve_background_responses
