"""Whether the bill, the answers and every log of a gateway agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from gateway_under_load import CALLS, HEADERS, BrokenPromiseError, GatewayUnderLoad, same

from batchata.core.usage import Usage, from_parts
from batchata.gateway import Scenario
from batchata.prices import GenaiPriceBook
from batchata.sinks.eventlog import read_events
from batchata.stores.spending import TOTAL, SpendFile


def check(load: GatewayUnderLoad) -> None:
    """Compare what was billed, told and written down; BrokenPromiseError."""
    billed = _billed(load)
    spent = _spent(load)
    if not billed <= spent <= load.limit_usd:
        raise BrokenPromiseError(
            f"billed ${billed}, in the books ${spent}, the limit ${load.limit_usd}"
        )
    _check_events(load)
    _check_parquet(load)
    _check_cassette(load)
    _check_secrets(load)
    asyncio.run(_check_answers(load))


def _billed(load: GatewayUnderLoad) -> Decimal:
    book = GenaiPriceBook()
    total = Decimal(0)
    ledger = load.box.ledger
    for tier, calls in (("standard", ledger.live), ("batch", ledger.items)):
        for call in calls:
            card = book.card(call.vendor, call.model, tier)
            total += card.cost_usd(Usage(call.input_tokens, call.output_tokens))
    paid = Counter(item.content for item in ledger.items)
    if twice := [content for content, times in paid.items() if times > 1]:
        raise BrokenPromiseError(f"{len(twice)} held calls were paid twice")
    return total


def _spent(load: GatewayUnderLoad) -> Decimal:
    file = SpendFile(load.folder / "state.db")
    try:
        return from_parts(file.read(*TOTAL).most + file.used_by_runs)
    finally:
        file.close()


def _check_events(load: GatewayUnderLoad) -> None:
    events = _rows(load.folder / "event_recorder" / "events.jsonl", torn=load.kills)
    began: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    content: dict[str, str] = {}
    for event in events:
        call, name = event["exchange_id"], event["name"]
        if name == "llm.call.start":
            began[call] += 1
            turns = event["attributes"]["llm.request.new_messages"]
            content[call] = turns[0]["content"]
        elif name in ("llm.call.finish", "llm.call.error"):
            ended[call] += 1
            if call not in began:
                raise BrokenPromiseError(f"{name} of {call} has no beginning")
            _check_pair(load, content[call], event["attributes"])
    if twice := [call for call in (began | ended) if began[call] > 1 or ended[call] > 1]:
        raise BrokenPromiseError(f"told twice: {twice}")
    if not load.kills:
        same("calls that began and have not ended", began - ended, Counter())


def _check_pair(load: GatewayUnderLoad, question: str, told: dict[str, Any]) -> None:
    found = load.told.answers.get(question)
    said = told.get("llm.response.content")
    if found is not None and said and _text(*found) != said:
        raise BrokenPromiseError(f"{question!r} is paired with {said!r}, not {_text(*found)!r}")


def _check_parquet(load: GatewayUnderLoad) -> None:
    found = read_events(load.folder / "parquet")
    calls = found[found["event_type"].isin(["llm_start", "llm_end", "llm_error"])]
    ends = calls["event_type"].map(lambda kind: "start" if kind == "llm_start" else "end")
    if any(calls.assign(end=ends).duplicated(["run_id", "end"])):
        raise BrokenPromiseError("the Parquet log has an event twice")
    if not load.kills:
        same("calls in the Parquet log", *(Counter(ends)[each] for each in ("start", "end")))


def _check_cassette(load: GatewayUnderLoad) -> None:
    rows = _rows(load.folder / "record" / "cassette.jsonl", torn=load.kills)
    numbered = Counter((orjson.dumps(row["request"]), row["nth"]) for row in rows)
    # what is recorded again by another process takes the place of what was there
    if often := [key for key, times in numbered.items() if times > load.lives]:
        raise BrokenPromiseError(f"the cassette has requests too often: {often}")


def _check_secrets(load: GatewayUnderLoad) -> None:
    for path in load.folder.rglob("*"):
        if path.is_file() and b"sk-planted-secret" in path.read_bytes():
            raise BrokenPromiseError(f"the key is in {path}")


async def _check_answers(load: GatewayUnderLoad) -> None:
    """Ask the vendor itself the same: its answers depend on nothing but the question."""
    load.box.set_scenario(Scenario())
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        for name, (kind, said) in load.told.answers.items():
            url, headers = load.box.url + CALLS[kind][1], CALLS[kind][3]
            body = load.asked[name][1]
            if load.is_held:  # batches have no streams
                asked = orjson.loads(body)
                body = orjson.dumps({n: asked[n] for n in asked if "stream" not in n})
            async with session.post(url, data=body, headers=headers) as answer:
                expected = _text(kind, await answer.read())
            same(f"the answer to {name!r}", _text(kind, said), expected)


def _text(kind: int, said: bytes) -> str:
    """What an answer of one of the three protocols says, streamed or not."""
    if said.startswith((b"data:", b"event:")):
        lines = [line[6:] for line in said.splitlines() if line.startswith(b"data: {")]
        return "".join(_piece(kind, orjson.loads(line)) for line in lines)
    body = orjson.loads(said)
    if kind == 0:
        return str(body["choices"][0]["message"]["content"])
    parts = body["content"] if kind == 2 else body["output"][0]["content"]
    return "".join(part["text"] for part in parts)


def _piece(kind: int, event: dict[str, Any]) -> str:
    if kind == 0:
        return "".join(each["delta"].get("content") or "" for each in event["choices"])
    if kind == 1:
        return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""
    return str(event.get("delta", {}).get("text", ""))


def _rows(path: Path, *, torn: int) -> list[dict[str, Any]]:
    """Lines of JSON; a kill may leave a part of one behind."""
    found, bad = [], 0
    for line in path.read_bytes().splitlines():
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            bad += 1
    if bad > torn:
        raise BrokenPromiseError(f"{bad} lines of {path.name} are broken after {torn} kills")
    return found
