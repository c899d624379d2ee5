"""OpenAI's files and batches in front of a live server, with the official SDK and our own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import openai
import orjson
import pytest
from batch_lab import KEY, HeldModel, chat, client_of, ended, gateway, lines_of, submit, until
from killable_lab import killable
from pyarrow import parquet
from raw_lab import RawUpstream
from sandbox_lab import Lab

from batchata import Batch
from batchata.core.errors import StateError, StateLockedError
from batchata.gateway.batches import routes, store

if TYPE_CHECKING:
    from zygote import Zygote


def test_each_request_is_answered_live_and_a_refused_one_is_in_the_error_file(
    lab: Lab, tmp_path: Path
) -> None:
    bad_lines = [lab.chat_line("bad", temperature=9), lab.chat_line("odd", tools=5, n=-1)]
    lines = [lab.chat_line("a"), *bad_lines, lab.chat_line("ü 2")]
    with gateway(lab.box.url, tmp_path) as door, client_of(door.openai_base_url) as client:
        batch_id = submit(client, lines, metadata={"team": "search"})
        client.files.delete(client.batches.retrieve(batch_id).input_file_id)
        batch = ended(client, batch_id)
        good = lines_of(client, batch.output_file_id)
        bad = lines_of(client, batch.error_file_id)

    assert batch.status == "completed"
    assert batch.request_counts.to_dict() == {"total": 4, "completed": 2, "failed": 2}
    assert batch.metadata == {"team": "search"}
    assert set(good) == {"a", "ü 2"}
    assert good["a"]["response"]["status_code"] == 200
    used = [each["response"]["body"]["usage"]["total_tokens"] for each in good.values()]
    assert batch.usage.total_tokens == sum(used) > 0
    assert bad["bad"]["response"]["status_code"] == 400
    assert bad["bad"]["response"]["body"]["error"]["param"] == "temperature"
    assert bad["odd"]["response"]["body"]["error"]["param"] == "tools"
    assert len(lab.box.ledger.live) == 2
    table = parquet.read_table(tmp_path / "batches" / batch_id / "results").to_pylist()
    assert [row["job_id"] for row in table] == ["a", "bad", "odd", "ü 2"]
    assert "temperature" in table[1]["error"]


def test_files_and_batches_are_listed_paged_and_read_by_their_owner_alone(tmp_path: Path) -> None:
    model = HeldModel()
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path) as door,
        client_of(door.openai_base_url) as client,
        client_of(door.openai_base_url, "sk-somebody-else") as other,
    ):
        ids = [submit(client, [chat("a", f"question {number}")]) for number in range(3)]
        batches = [ended(client, batch_id) for batch_id in ids]

        assert [each.id for each in client.batches.list(limit=1)] == ids[::-1]
        outputs = {each.id for each in client.files.list(purpose="batch_output")}
        assert outputs == {each.output_file_id for each in batches}
        body = lines_of(client, batches[0].output_file_id)["a"]["response"]["body"]
        assert (body["choices"][0]["message"]["content"], body["odd"]) == (
            "QUESTION 0",
            [1.0, None],
        )
        assert list(other.batches.list()) == list(other.files.list()) == []
        with pytest.raises(openai.NotFoundError):
            other.batches.retrieve(ids[0])
        with pytest.raises(openai.NotFoundError):
            other.files.content(batches[0].output_file_id)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(ids[0])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in kept


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([chat("a"), chat("a")], [("duplicate_custom_id", 2)]),
        ([{**chat("a"), "url": "/v1/embeddings"}], [("url_mismatch", 1)]),
        ([chat("a", stream=True), chat("")], [("invalid_request", 1), ("invalid_request", 2)]),
    ],
)
def test_a_file_that_is_wrong_fails_as_a_whole_and_asks_nothing(
    tmp_path: Path, lines: list[dict[str, Any]], codes: list[tuple[str, int]]
) -> None:
    model = HeldModel()
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, lines))

        assert batch.status == "failed"
        assert [(each.code, each.line) for each in batch.errors.data] == codes
        assert not model.asked
        for wrong in ({"completion_window": "soon"}, {"endpoint": "/v1/audio"}):
            with pytest.raises(openai.BadRequestError, match="Invalid value"):
                submit(client, [chat("a")], **wrong)
        with pytest.raises(openai.BadRequestError, match="'batch' only"):
            client.files.create(file=("a.pdf", b"%PDF"), purpose="user_data")


def test_a_cancelled_batch_keeps_what_was_answered_and_sends_nothing_more(tmp_path: Path) -> None:
    model = HeldModel()
    lines = [chat("a"), chat("hold"), chat("never")]
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path, batches={"concurrency": 1}) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch_id = submit(client, lines)
        until(lambda: model.asked["hold"])
        metrics = urlopen(f"{door.url}/metrics").read()
        assert b"batchata_gateway_batches_running 1\n" in metrics
        assert client.batches.cancel(batch_id).status == "cancelling"
        model.go_on.set()
        batch = ended(client, batch_id)
        good = lines_of(client, batch.output_file_id)
        bad = lines_of(client, batch.error_file_id)

    assert batch.status == "cancelled"
    assert set(good) == {"a", "hold"}  # a call in flight is paid for, so its answer is kept
    assert bad["never"]["error"]["code"] == "batch_cancelled"
    assert not model.asked["never"]


def test_a_batch_that_waits_for_its_server_expires_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [0.0]
    monkeypatch.setattr(routes, "wall_clock", lambda: time.time() + late[0])
    with RawUpstream() as upstream:
        pass  # nobody listens there any more
    with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
        batch_id = submit(client, [chat("a"), chat("b")], completion_window="2h")
        until(lambda: client.batches.retrieve(batch_id).status == "in_progress")
        late[0] = 7201.0
        batch = ended(client, batch_id)
        bad = lines_of(client, batch.error_file_id)

    assert (batch.status, batch.output_file_id) == ("expired", None)
    assert batch.expires_at - batch.created_at == 7200
    assert {each["error"]["code"] for each in bad.values()} == {"batch_expired"}


def test_a_limit_holds_for_batches_and_says_so_in_each_line(lab: Lab, tmp_path: Path) -> None:
    budget = {"limit_usd": 0.0001, "state": str(tmp_path / "gateway.db")}
    config = {"interceptors": [{"type": "budget", "config": budget}]}
    lines = [lab.chat_line(str(number), max_completion_tokens=100) for number in range(5)]
    with (
        gateway(lab.box.url, tmp_path, **config) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, lines))
        bad = lines_of(client, batch.error_file_id)

    assert batch.status == "completed"
    assert batch.request_counts.completed == len(lab.box.ledger.live) == 5 - len(bad) < 5
    codes = {each["response"]["body"]["error"]["code"] for each in bad.values()}
    assert codes == {"insufficient_quota"}


def test_killed_in_the_middle_it_asks_nothing_again_that_was_answered(
    tmp_path: Path, zygote: Zygote
) -> None:
    model = HeldModel()
    names = [f"q{number}" for number in range(6)]
    lines = [chat(name) for name in names] + [chat("hold"), chat("last")]
    with model.upstream() as upstream:
        config = {
            "llm": {"base_url": upstream.url},
            "server": {"port": 0},
            "batches": {"concurrency": 1},
        }
        flags = ("--batches", str(tmp_path / "kept"))
        with (
            killable(zygote, config, tmp_path, *flags) as (process, url),
            client_of(f"{url}/v1") as client,
        ):
            batch_id = submit(client, lines)
            until(lambda: client.batches.retrieve(batch_id).request_counts.completed == 6)
            process.kill()
        (tmp_path / "kept/files/file-half.data").write_bytes(b"half an upl")
        (tmp_path / "kept/batches/batch_unknown").mkdir()
        model.go_on.set()
        with (
            gateway(upstream.url, tmp_path / "kept") as door,
            client_of(door.openai_base_url) as client,
        ):
            batch = ended(client, batch_id)  # its client's key is known as it asks
            good = lines_of(client, batch.output_file_id)

    assert batch.status == "completed"
    assert [path.name for path in (tmp_path / "kept/batches").iterdir()] == [batch_id]
    assert not (tmp_path / "kept/files/file-half.data").exists()
    assert set(good) == {*names, "hold", "last"}
    assert {name: model.asked[name] for name in names} == dict.fromkeys(names, 1)
    assert model.asked["hold"] <= 2  # it was in flight: nobody can know its answer
    assert model.asked["last"] == 1


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("step", ["in_progress", "finalizing", "batch_output", "completed"])
def test_whichever_record_is_its_last_it_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, is_written: bool
) -> None:
    model, write = HeldModel(), store.atomic_write
    dead: list[Path] = []

    def write_or_die(path: Path, data: bytes) -> None:
        said = orjson.loads(data)
        is_step = step in (said.get("phase"), said.get("purpose"))
        if is_written or dead or not is_step:
            write(path, data)
        if is_step and not dead:
            dead.append(path)
            raise RuntimeError("the power went")

    monkeypatch.setattr(store, "atomic_write", write_or_die)
    with model.upstream() as upstream:
        with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
            batch_id = submit(client, [chat("a"), chat("b")])
            until(lambda: dead)
        with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
            batch = ended(client, batch_id)
            good = lines_of(client, batch.output_file_id)
            files = list(client.files.list())

    assert (batch.status, set(good)) == ("completed", {"a", "b"})
    assert model.asked == {"a": 1, "b": 1}
    assert {each.purpose for each in files} == {"batch", "batch_output"}
    assert len(files) == 2


def test_a_folder_that_cannot_be_used_is_told_before_anything_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here is no folder", encoding="utf-8")
    broken = tmp_path / "broken/batches/batch_1/batch.json"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"id": 5}', encoding="utf-8")
    for name in ("file", "broken"):
        with (
            pytest.raises(StateError, match=rf"folder of batches .*{name}.* cannot be used"),
            gateway("http://127.0.0.1:9", tmp_path / name),
        ):
            pass

    broken.unlink()  # nobody holds the folder any more

    with gateway("http://127.0.0.1:9", tmp_path / "broken"):
        pass


def test_stopped_in_good_order_it_waits_for_its_client_and_goes_on(tmp_path: Path) -> None:
    model = HeldModel()
    with model.upstream() as upstream:
        with gateway(upstream.url, tmp_path, batches={"concurrency": 1}) as door:
            with pytest.raises(StateLockedError), gateway(upstream.url, tmp_path):
                pass
            with client_of(door.openai_base_url) as client:
                batch_id = submit(client, [chat("a"), chat("hold"), chat("b")])
                until(lambda: model.asked["hold"])
            model.go_on.set()
        with gateway(upstream.url, tmp_path) as door, client_of(door.openai_base_url) as client:
            batch = ended(client, batch_id)

    assert batch.request_counts.completed == 3
    assert model.asked == {"a": 1, "hold": 1, "b": 1}


def test_a_call_that_broke_off_is_asked_again_and_a_gateway_with_a_key_waits_for_nobody(
    tmp_path: Path,
) -> None:
    model, drops, keys = HeldModel(), [True], []

    def script(connection: Any, seen: Any) -> str | None:
        keys.append((seen.all(b"authorization"), seen.all(b"x-batchata-tags")))
        if drops and drops.pop():
            return "close"
        return model(connection, seen)

    server = {"client_token": "a-token-of-the-gateway"}
    config = {"server": server, "llm": {"api_key": "sk-of-the-gateway"}}
    with RawUpstream(script) as upstream:
        with (
            gateway(upstream.url, tmp_path, **config, batches={"concurrency": 1}) as door,
            client_of(door.openai_base_url, server["client_token"]) as client,
        ):
            tagged = client.with_options(default_headers={"x-batchata-tags": "nightly"})
            submit(tagged, [chat("a"), chat("hold"), chat("b")])
            until(lambda: model.asked["hold"])
            with client_of(door.openai_base_url) as stranger, pytest.raises(openai.APIStatusError):
                stranger.batches.list()
            model.go_on.set()
        with gateway(upstream.url, tmp_path, **config):
            until(lambda: b'"phase":"completed"' in next(tmp_path.rglob("batch.json")).read_bytes())

    assert model.asked == {"a": 1, "hold": 1, "b": 1}
    assert set(map(str, keys)) == {str(([b"Bearer sk-of-the-gateway"], []))}
    records = next(tmp_path.rglob("batch.json")).read_bytes()
    assert orjson.loads(records)["headers"] == {"x-batchata-tags": "nightly"}


def test_our_own_batch_route_goes_through_it(lab: Lab, tmp_path: Path) -> None:
    with gateway(lab.box.url, tmp_path / "kept") as door:
        batch = Batch(tmp_path / "out", items_per_batch=2, raw_files=False).set_polling(0.02)
        batch.set_provider("openai", base_url=door.openai_base_url, api_key="k")
        for number in range(3):
            batch.add_job(prompt=f"question {number}", model="gpt-6-luna", max_tokens=50)
        run = batch.run()

    assert len(run.results().completed) == 3
    assert len(lab.box.ledger.live) == 3
    records = [orjson.loads(path.read_bytes()) for path in tmp_path.rglob("batch.json")]
    assert sorted(each["total"] for each in records) == [1, 2]
