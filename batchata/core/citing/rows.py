"""Items of a list: the values of one item stand together, in one row or one phrase."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from batchata.core.citing.claims import Claim, raised, telling
from batchata.core.citing.leaves import Leaf
from batchata.core.citing.tables import line_start

_SEPARATOR: Final = re.compile(r"[,;|、](?!\d)|\sand\s|\sund\s|\set\s|\sy\s|\. ")
#: a row needs this much: two values, or one that is telling
_ENOUGH: Final = 0.6
_LABELLED: Final = 0.8


@dataclass(frozen=True, slots=True)
class _Row:
    start: int
    end: int
    group: str
    score: float


def by_rows(text: str, claims: Sequence[Claim], leaves: Sequence[Leaf]) -> list[Claim]:
    """The claims, where an item's values keep to the row the item is in."""
    lists: dict[str, set[str]] = defaultdict(set)
    for claim in claims:
        group = leaves[claim.leaf].group
        if group and not claim.is_path:
            lists[re.sub(r"\[\d+\]$", "[]", group)].add(group)
    kept = list(claims)
    for groups in lists.values():
        if len(groups) > 1:
            kept = _sorted_out(text, kept, leaves, sorted(groups, key=_natural))
    return kept


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path)]


def _sorted_out(
    text: str, claims: list[Claim], leaves: Sequence[Leaf], groups: Sequence[str]
) -> list[Claim]:
    members: dict[str, list[Claim]] = {group: [] for group in groups}
    others: list[Claim] = []
    for claim in claims:
        members.get(leaves[claim.leaf].group, others).append(claim)
    rows = _assigned(_rows(text, members, leaves), groups)
    kept = others
    for group in groups:
        row = rows.get(group)
        taken = [each for name, each in rows.items() if name != group]
        kept += _kept(members[group], row, taken)
    return kept


def _kept(claims: Sequence[Claim], row: _Row | None, taken: Sequence[_Row]) -> list[Claim]:
    inside: dict[int, list[Claim]] = defaultdict(list)
    outside: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        if row is not None and row.start <= claim.start < row.end:
            inside[claim.leaf].append(claim)
        elif not any(each.start <= claim.start < each.end for each in taken):
            outside[claim.leaf].append(claim)
    found: list[Claim] = []
    for leaf in {claim.leaf for claim in claims}:
        found += raised(inside[leaf], _LABELLED) or outside[leaf]
    return found


def _rows(text: str, members: dict[str, list[Claim]], leaves: Sequence[Leaf]) -> list[_Row]:
    """Each stretch of text that may be a row of each item, with how much of the item is in it."""
    starts = _cuts(text, members, leaves)
    found: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for group, claims in members.items():
        for claim in claims:
            place = bisect_right(starts, claim.start) - 1
            worth = 0.25 + telling(leaves[claim.leaf].value) + 0.3 * claim.label
            known = found[group, place]
            known[claim.leaf] = max(known.get(claim.leaf, 0.0), worth * claim.quality)
    return [
        _Row(starts[place], _next(starts, place, len(text)), group, sum(worths.values()))
        for (group, place), worths in found.items()
    ]


def _next(starts: Sequence[int], place: int, end: int) -> int:
    return starts[place + 1] if place + 1 < len(starts) else end + 1


def _cuts(text: str, members: dict[str, list[Claim]], leaves: Sequence[Leaf]) -> list[int]:
    """Where rows begin: at lines, and within a line between the items that stand in it."""
    lines: dict[int, dict[int, list[tuple[str, Claim]]]] = defaultdict(lambda: defaultdict(list))
    for group, claims in members.items():
        for claim in claims:
            line = line_start(text, claim.start)
            lines[line][claim.start].append((group, claim))
    cuts = set(lines)
    for places in lines.values():
        end = text.find("\n", max(places))
        cuts.add(end + 1 if end >= 0 else len(text))
        cuts.update(_between(text, _anchors(places, leaves)))
    return sorted(cuts)


def _anchors(
    places: Mapping[int, Sequence[tuple[str, Claim]]], leaves: Sequence[Leaf]
) -> list[Claim]:
    """For each item in a line its most telling value that no other item has there, in order."""
    best: dict[str, Claim] = {}
    for _, claims in sorted(places.items()):
        group, claim = claims[0]
        if any(other != group for other, _ in claims):
            continue
        worth = telling(leaves[claim.leaf].value)
        if group not in best or worth > telling(leaves[best[group].leaf].value):
            best[group] = claim
    return sorted(best.values(), key=lambda claim: claim.start)


def _between(text: str, anchors: Sequence[Claim]) -> list[int]:
    found = []
    for left, right in pairwise(anchors):
        marks = list(_SEPARATOR.finditer(text, left.end, right.start))
        found.append(marks[-1].end() if marks else right.start)
    return found


def _assigned(rows: Sequence[_Row], groups: Sequence[str]) -> dict[str, _Row]:
    """One row for each item, the best first; equal ones in order."""
    order = {group: number for number, group in enumerate(groups)}
    starts = sorted({row.start for row in rows})
    rank = {start: number for number, start in enumerate(starts)}
    best = sorted(
        (row for row in rows if row.score >= _ENOUGH),
        key=lambda row: (
            -round(row.score, 2),
            abs(rank[row.start] - order[row.group]),
            order[row.group],
        ),
    )
    found: dict[str, _Row] = {}
    used: set[int] = set()
    for row in best:
        if row.group not in found and row.start not in used:
            found[row.group] = row
            used.add(row.start)
    return found
