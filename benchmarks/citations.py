"""Precision and recall of the citation mapper on the golden set, and its time on large answers.

    python benchmarks/citations.py [--show]

Every golden case is an answer, its parsed fields, and for each field the citations a person would
put behind it. The quotes of `verify_quotes` are looked up in documents that have them, nearly have
them, or do not have them. The development parts were looked at while the code was written, the
held-out parts were only measured. `--show` lists the development cases that are wrong.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as clock
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from batchata.core.citing import CitedBlock, Pages, map_citations
from batchata.core.citing.bare import bare
from batchata.core.result import Citation

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "citations"
PARTS = ("development", "held_out")
#: documents with quotes from them and near them, which `verify_quotes` has to tell apart
QUOTE_PARTS = ("quotes", "quotes_held_out")
CAP_SECONDS = 0.1
FILLER = "the lease of this building runs for a term that both parties have agreed upon and"
_TYPES: dict[str, Callable[[str], Any]] = {
    "$date": date.fromisoformat,
    "$datetime": datetime.fromisoformat,
    "$time": clock.fromisoformat,
    "$decimal": Decimal,
    "$float": float,
}


@dataclass
class Counts:
    """Pairs of field and citation: found and right, found and wrong, missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """The share of what was found that is right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of what is right that was found."""
        return self.right / max(1, self.right + self.missed)


def cases(part: str) -> list[dict[str, Any]]:
    """The golden cases of one part."""
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{part}.json").read_text("utf-8"))
    return found


def blocks_of(answer: str) -> list[CitedBlock]:
    """The blocks of an answer written as "plain ⟦cited words|passage|passage⟧ plain"."""
    blocks, count = [], 0
    for piece in answer.replace("⟧", "⟦").split("⟦"):
        words, *passages = piece.split("|") if len(blocks) % 2 else (piece,)
        if len(passages) > 1 and len(blocks) % 2 and piece.startswith("|"):
            words, passages = piece.rpartition("|")[0], [piece.rpartition("|")[2]]
        cited = tuple(
            Citation(text=text, source="golden", metadata={"index": count + number})
            for number, text in enumerate(passages)
        )
        count += len(cited)
        blocks.append(CitedBlock(words, cited))
    return [block for block in blocks if block.text]


def value_of(value: Any) -> Any:
    """A golden value with its type: {"$date": "2024-01-05"} is a date."""
    if isinstance(value, list):
        return [value_of(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    (kind, text), *_ = [*value.items(), ("", None)]
    if kind == "$enum":
        return Enum("Choice", {text[0]: text[1]})[text[0]]  # type: ignore[misc]
    if kind in _TYPES:
        return _TYPES[kind](text)
    return {name: value_of(each) for name, each in value.items()}


def found_in(case: Mapping[str, Any]) -> dict[str, list[int]]:
    """What the mapper finds for a case: field path to the numbers of citations."""
    mapped = map_citations(blocks_of(case["answer"]), value_of(case["value"]))
    return {
        path: sorted(each.metadata["index"] for each in citations if each.metadata)
        for path, citations in mapped.fields.items()
    }


def measure(part: str) -> tuple[Counts, list[tuple[str, dict[str, Any], dict[str, Any]]]]:
    """Counts over a part, and the cases that are not exactly right."""
    counts, wrong = Counts(), []
    for case in cases(part):
        found, expected = found_in(case), case["expected"]
        got = set(_pairs(found))
        want = set(_pairs(expected))
        counts.right += len(got & want)
        counts.wrong += len(got - want)
        counts.missed += len(want - got)
        if got != want:
            wrong.append((case["id"], expected, found))
    return counts, wrong


def _pairs(mapped: Mapping[str, list[int]]) -> Iterator[tuple[str, int]]:
    for path, numbers in mapped.items():
        for number in numbers:
            yield path, number


def measure_quotes(part: str) -> tuple[Counts, list[tuple[str, str, object]]]:
    """Counts over the quotes of a part, and those that are not where a person finds them."""
    counts, wrong = Counts(), []
    for case in cases(part):
        pages = Pages(case["pages"])
        for quote, page, *words in case["quotes"]:
            found = pages.locate(quote)
            stands = page is not None and found is not None and found.page == page
            is_right = stands and _is_said(words[0] if words else quote, pages.text(found))
            counts.right += is_right
            counts.wrong += found is not None and not is_right
            counts.missed += page is not None and not is_right
            if not is_right and (page is not None or found is not None):
                wrong.append((case["id"], quote, found))
    return counts, wrong


def _is_said(expected: str | None, found: str) -> bool:
    """True where the place found has the words; None are any, where only the page is known."""
    return expected is None or bare(expected) == bare(found)


def large_answer(
    *, blocks: int, fields: int, block_bytes: int, cited_bytes: int, accents: bool = False
) -> tuple[list[CitedBlock], dict[str, Any]]:
    """An answer of prose with a value of some field in every block."""
    filler = FILLER.replace("a", "é") if accents else FILLER
    values: dict[str, Any] = {}
    for number in range(fields):
        kinds: list[Any] = [
            1000.5 + number,
            f"Company {number} Holding Ltd",
            date(2024, 1 + number % 12, 1 + number % 28),
            f"INV-{number}",
            number,
            number % 2 == 0,
        ]
        values[f"field_{number}_total"] = kinds[number % len(kinds)]
    names = list(values)
    made = []
    for number in range(blocks):
        name = names[number % fields]
        said = f"{name.replace('_', ' ')}: {values[name]} on page {number} of 2024. "
        text = said + (filler + " 12, 14.5. ") * (block_bytes // (len(filler) + 11) + 1)
        passage = said + (filler + " ") * (cited_bytes // (len(filler) + 1) + 1)
        cited = Citation(text=passage[: cited_bytes or len(said)], source="large")
        made.append(CitedBlock(text[: block_bytes or len(said)], (cited,)))
    return made, values


def timed(**size: Any) -> tuple[float, float]:
    """Median CPU seconds and wall seconds of five mappings."""
    blocks, values = large_answer(**size)
    map_citations(blocks[:2], values)
    cpu, wall = [], []
    for _ in range(5):
        begin = time.process_time(), time.perf_counter()
        map_citations(blocks, values)
        cpu.append(time.process_time() - begin[0])
        wall.append(time.perf_counter() - begin[1])
    return statistics.median(cpu), statistics.median(wall)


def main() -> None:
    """Print the figures; leave with 1 when the time cap is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="list wrong development cases")
    options = parser.parse_args()
    for part in PARTS:
        counts, wrong = measure(part)
        count = len(cases(part))
        print(
            f"{part:12} {count:4} answers  precision {counts.precision:.4f}  "
            f"recall {counts.recall:.4f}  ({counts.right} right, {counts.wrong} wrong, "
            f"{counts.missed} missed; {count - len(wrong)} answers exactly right)"
        )
        for name, expected, found in wrong if options.show and part == PARTS[0] else ():
            print(f"  {name}\n    expected {expected}\n    found    {found}")
    for part in QUOTE_PARTS:
        counts, misplaced = measure_quotes(part)
        count = sum(len(case["quotes"]) for case in cases(part))
        print(
            f"{part:15} {count:4} quotes  precision {counts.precision:.4f}  "
            f"recall {counts.recall:.4f}  ({counts.right} right, {counts.wrong} wrong, "
            f"{counts.missed} missed)"
        )
        for name, quote, place in misplaced if options.show and part == QUOTE_PARTS[0] else ():
            print(f"  {name}\n    {quote}\n    found {place}")
    sizes: list[tuple[str, dict[str, Any]]] = [
        ("200 blocks x 30 fields, short", {"block_bytes": 120, "cited_bytes": 300}),
        ("200 blocks x 30 fields, 10 KB", {"block_bytes": 10_000, "cited_bytes": 300}),
        ("the same with accents", {"block_bytes": 10_000, "cited_bytes": 300, "accents": True}),
        ("10 KB passages", {"block_bytes": 300, "cited_bytes": 10_000}),
    ]
    slow = False
    for name, size in sizes:
        cpu, wall = timed(blocks=200, fields=30, **size)
        slow |= cpu > CAP_SECONDS
        print(f"{name:32} CPU {cpu * 1e3:6.1f} ms  wall {wall * 1e3:6.1f} ms")
    print(f"cap {CAP_SECONDS * 1e3:.0f} ms: {'BROKEN' if slow else 'held'}")
    raise SystemExit(1 if slow else 0)


if __name__ == "__main__":
    main()
