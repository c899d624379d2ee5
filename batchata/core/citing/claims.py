"""Which place belongs to which field, when several could have it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

from batchata.core.citing.evidence import Evidence
from batchata.core.citing.hits import Hit
from batchata.core.citing.leaves import Leaf
from batchata.core.citing.numbers import SURE, as_decimal

HIGH: Final = 0.8
MEDIUM: Final = 0.3
#: a value this telling needs no label in a passage that was cited for something
TELLING: Final = 0.65
#: a value this telling is believed, though barely, against a label that says something else
BELIEVED: Final = 0.5
#: so much of a text is looked at
_TOLD: Final = 200
_CLEARLY: Final = 0.25
_BETTER: Final = 0.05


@dataclass(frozen=True, slots=True)
class Claim:
    """A field's claim to a place: it says the field's value."""

    leaf: int
    start: int
    end: int
    quality: float  #: how well the value fits
    label: float  #: how well the words around it fit
    is_path: bool = False
    #: the label names something else
    is_against: bool = False

    @property
    def strength(self) -> float:
        """Both together, to compare claims of different fields to one place."""
        return self.label * self.quality + (1.0 if self.is_path else 0.0)


def telling(value: Any) -> float:
    """How surely a value alone tells its field, 0 to 1: 5 hardly, "INV-2024-002" nearly."""
    if isinstance(value, bool):
        return 0.0
    if isinstance(value, (date, time)):
        return 0.7
    if isinstance(value, (int, float, Decimal)):
        return _telling_number(as_decimal(value))
    text = str(value)[:_TOLD].strip()
    size = sum(char.isalnum() for char in text)
    if size <= 2:
        return 0.2 if size and max(text) >= "\u2e80" else 0.1
    if any(char.isdigit() for char in text):
        return 0.9 if size >= 5 else 0.5
    if len(text.split()) > 1 or max(text) >= "\u2e80":
        return 0.8
    return 0.45 if size >= 4 else 0.2


def _telling_number(number: Decimal | None) -> float:
    if number is None:
        return 0.0
    digits = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    if number == number.to_integral_value():
        digits = max(digits, min(3, number.adjusted() + 1))
    if number == number.to_integral_value() and abs(number) < 10:
        return 0.1
    if digits >= 4 or (digits == 3 and number != number.to_integral_value()):
        return 0.75
    return {1: 0.3, 2: 0.35}.get(digits, 0.5)


def claim_of(hit: Hit, evidence: Evidence) -> Claim:
    """The claim that a hit makes."""
    label = min(evidence.score, 0.2) if evidence.is_against else evidence.score
    return Claim(
        hit.leaf, hit.start, hit.end, hit.quality, label, evidence.is_path, evidence.is_against
    )


def is_enough(claim: Claim, worth: float) -> bool:
    """True when value and label together are enough: a small number needs its label."""
    if claim.is_against and (worth < BELIEVED or claim.quality < SURE):
        return False
    if claim.quality < SURE and claim.label < (0.5 if claim.quality < 0.65 else MEDIUM):
        return False
    if worth < 0.3:
        return claim.label >= (MEDIUM if worth >= 0.2 else 0.4)
    return True


def settle(claims: Sequence[Claim], leaves: Sequence[Leaf]) -> list[Claim]:
    """The claims that stand: a place goes to the field its label names."""
    kept = _by_path(claims)
    kept = _by_label(kept)
    return _in_order(kept, leaves)


def _by_path(claims: Sequence[Claim]) -> list[Claim]:
    """A field labelled by its own path has no other places; its places have no other fields."""
    sure = {claim.leaf for claim in claims if claim.is_path}
    taken = {claim.start for claim in claims if claim.is_path}
    return [
        claim
        for claim in claims
        if claim.is_path or (claim.leaf not in sure and claim.start not in taken)
    ]


def _by_label(claims: Sequence[Claim]) -> list[Claim]:
    """At each place, fields that the label fits less give way."""
    best_here: dict[int, float] = defaultdict(float)
    for claim in claims:
        best_here[claim.start] = max(best_here[claim.start], claim.strength)
    winning: dict[int, float] = defaultdict(float)
    for claim in claims:
        if claim.strength >= best_here[claim.start] - _BETTER:
            winning[claim.leaf] = max(winning[claim.leaf], claim.strength)
    kept = []
    for claim in claims:
        best = best_here[claim.start]
        loses = claim.strength < best - _BETTER and winning[claim.leaf] > claim.strength
        loses_clearly = best >= 0.5 and claim.strength < best - _CLEARLY
        if not (loses or loses_clearly):
            kept.append(claim)
    return kept


def _in_order(claims: Sequence[Claim], leaves: Sequence[Leaf]) -> list[Claim]:
    """Equal values of one list stand in the list's order where nothing else tells them apart."""
    rivals: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in sorted({claim.leaf for claim in claims}):
        if "]" in leaves[index].path:
            rivals[leaves[index].pattern, repr(leaves[index].value)].append(index)
    places: dict[int, set[int]] = defaultdict(set)
    for claim in claims:
        places[claim.leaf].add(claim.start)
    allowed: dict[int, int] = {}
    for group in rivals.values():
        same = all(places[each] == places[group[0]] for each in group)
        if len(group) > 1 and same and len(places[group[0]]) == len(group):
            allowed.update(zip(group, sorted(places[group[0]]), strict=True))
    return [c for c in claims if allowed.get(c.leaf, c.start) == c.start]


def raised(claims: Iterable[Claim], label: float) -> list[Claim]:
    """The claims with at least this label."""
    return [replace(each, label=max(each.label, label), is_against=False) for each in claims]
