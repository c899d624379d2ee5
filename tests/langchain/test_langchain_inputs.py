"""What chains are given may be anything: the logger loses no event for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchata import read_events

if TYPE_CHECKING:
    import langchain_lab


def test_inputs_that_hold_themselves_or_cannot_be_said_lose_no_event(
    lc: langchain_lab, tmp_path: Path
) -> None:
    from langchain_core.runnables import RunnableLambda

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    inputs: dict[Any, Any] = {"mute": Mute()}
    inputs["again"] = inputs
    chain = RunnableLambda(lambda given: "done")
    with lc.still(tmp_path, event_types=["chain_start", "chain_end"]) as logger:
        chain.invoke(inputs, {"callbacks": [logger], "metadata": {"mute": Mute()}})

    assert list(read_events(tmp_path / "logs")["event_type"]) == ["chain_start", "chain_end"]
