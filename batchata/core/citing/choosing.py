"""From the claims of a field to the citations it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from batchata.core.citing.blocks import CitedBlock
from batchata.core.citing.claims import HIGH, MEDIUM, TELLING, Claim, telling
from batchata.core.citing.evidence import content_of
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.labels import Label, likeness, weight
from batchata.core.citing.leaves import Leaf
from batchata.core.result import Citation

#: citations this far below the best are not kept
_NEAR_BEST: Final = 0.15
_LONGEST_LABEL_BLOCK: Final = 2_000
_REASONS: Final = {
    "high": "exact field match",
    "medium": "partial field match",
    "low": "value-only match",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything known of an answer before citations are chosen."""

    blocks: Sequence[CitedBlock]
    leaves: Sequence[Leaf]
    own: JoinedText
    cited: JoinedText
    part_of: Mapping[str, int]
    claims: Mapping[int, list[Claim]]
    cited_claims: Mapping[int, list[Claim]]
    cited_parts: Mapping[int, set[int]]


@dataclass(frozen=True, slots=True)
class Sourced:
    """One citation for one field."""

    block: int
    place: int
    citation: Citation
    label: float
    score: float
    is_own: bool
    has_value: bool

    @property
    def confidence(self) -> str:
        """The known words for how good the label is."""
        return "high" if self.label >= HIGH else "medium" if self.label >= MEDIUM else "low"

    @property
    def reason(self) -> str:
        """One line for people."""
        where = "answer and source" if self.is_own and self.has_value else "source"
        if self.is_own and not self.has_value:
            where = "answer"
        return f"{_REASONS[self.confidence]} (score: {self.label:.2f}; value in {where})"


def chosen(answer: Answer, leaf: int) -> list[Sourced]:
    """The citations of a field, the best first; none when nothing speaks for one."""
    found: dict[tuple[int, int], Sourced] = {}
    claims = answer.claims.get(leaf, ())
    candidates = _own(answer, leaf, claims) if claims else _from_source(answer, leaf)
    for each in candidates:
        known = found.get((each.block, each.place))
        if known is None or each.score > known.score:
            found[each.block, each.place] = each
    if not found and claims:
        found = {(each.block, each.place): each for each in _from_source(answer, leaf)}
    return _best(list(found.values()))


def _best(found: list[Sourced]) -> list[Sourced]:
    if not found:
        return []
    best = max(found, key=lambda each: each.score)
    kept = [
        each
        for each in found
        if each.confidence == best.confidence and each.score >= best.score - _NEAR_BEST
    ]
    return sorted(kept, key=lambda each: (-each.score, each.block, each.place))


def _own(answer: Answer, leaf: int, claims: Sequence[Claim]) -> Iterator[Sourced]:
    for claim in claims:
        block = answer.own.part_at(claim.start)
        if answer.blocks[block].citations:
            yield from _of_block(answer, leaf, claim, block, 1.0)
        else:
            yield from _beside(answer, leaf, claim, block)


def _of_block(
    answer: Answer, leaf: int, claim: Claim, block: int, factor: float
) -> Iterator[Sourced]:
    """The citations of a block; only those with the value, when some have it and some have not."""
    citations = answer.blocks[block].citations
    saying = [_says(answer, leaf, each) for each in citations]
    for place, (citation, has_value) in enumerate(zip(citations, saying, strict=True)):
        if has_value or not any(saying):
            yield _sourced(answer, claim, block, place, citation, factor, has_value)


def _says(answer: Answer, leaf: int, citation: Citation) -> bool:
    return answer.part_of[citation.text] in answer.cited_parts.get(leaf, ())


def _sourced(
    answer: Answer,
    claim: Claim,
    block: int,
    place: int,
    citation: Citation,
    factor: float,
    has_value: bool,
) -> Sourced:
    label = claim.label * factor
    worth = telling(answer.leaves[claim.leaf].value)
    score = _score(label, worth, claim.quality, has_value)
    return Sourced(block, place, citation, label, score, is_own=True, has_value=has_value)


def _score(label: float, worth: float, quality: float, has_value: bool) -> float:
    """One number 0 to 1 that never contradicts the words high, medium and low."""
    if label >= HIGH:
        score = 0.8 + 0.5 * (label - HIGH) + (0.1 if has_value else 0.0)
    elif label >= MEDIUM:
        score = 0.5 + 0.36 * (label - MEDIUM) + (0.1 if has_value else 0.0)
    else:
        score = 0.15 + 0.15 * worth + (0.18 if has_value else 0.0)
    return min(1.0, score) * (0.85 + 0.15 * quality)


def _beside(answer: Answer, leaf: int, claim: Claim, block: int) -> Iterator[Sourced]:
    """A value in words without a citation: the blocks right after and before may cite it."""
    agreeing = [
        (other, place, citation)
        for other in (block + 1, block - 1)
        if 0 <= other < len(answer.blocks)
        for place, citation in enumerate(answer.blocks[other].citations)
        if _says(answer, leaf, citation)
    ]
    on_line = [each for each in agreeing if _is_on_line(answer, claim, each[0])]
    for other, place, citation in on_line or agreeing:
        yield _sourced(answer, claim, other, place, citation, 0.95, True)
    if not agreeing and _leads_to(answer, claim, block + 1):
        yield from _of_block(answer, leaf, claim, block + 1, 0.8)


def _is_on_line(answer: Answer, claim: Claim, block: int) -> bool:
    start, end = answer.own.bounds(block)
    between = answer.own.text[claim.end : start] or answer.own.text[end : claim.start]
    return "\n" not in between


def _leads_to(answer: Answer, claim: Claim, block: int) -> bool:
    """True when the sentence of a value goes on in the next block, which has no value itself."""
    if block >= len(answer.blocks) or not answer.blocks[block].citations:
        return False
    start, end = answer.own.bounds(block)
    between = answer.own.text[claim.end : start]
    if len(between) > 60 or any(mark in between for mark in ("\n", ". ", ";", "。")):
        return False
    if any(char.isalnum() for char in between) and not claim.label:
        return False
    others = (each for claims in answer.claims.values() for each in claims)
    return not any(start <= each.start < end for each in others)


def _from_source(answer: Answer, leaf: int) -> Iterator[Sourced]:
    """Citations that have the value though the model's own words have not."""
    label = answer.leaves[leaf].label
    claims = {answer.cited.part_at(each.start): each for each in answer.cited_claims.get(leaf, ())}
    parts = answer.cited_parts.get(leaf, set())
    if not parts:
        return
    worth = telling(answer.leaves[leaf].value)
    for block, each in enumerate(answer.blocks):
        for place, citation in enumerate(each.citations):
            part = answer.part_of[citation.text]
            if part not in parts:
                continue
            claim = claims.get(part)
            named = 0.9 * _named(answer, label, block)
            strength = max(named, claim.label if claim else 0.0)
            if strength < MEDIUM and (claim is None or worth < TELLING):
                continue
            quality = claim.quality if claim else 0.8
            score = _score(strength, worth, quality, True) - 0.1
            yield Sourced(block, place, citation, strength, score, is_own=False, has_value=True)


def _named(answer: Answer, label: Label, block: int) -> float:
    """The share of the label's words in the block's own words and the label before it."""
    start, end = answer.own.bounds(block)
    if end - start > _LONGEST_LABEL_BLOCK:
        return 0.0
    line = answer.own.text.rfind("\n", max(0, start - 80), start)
    words = content_of(answer.own.text[max(line + 1, start - 80) : end])
    whole = sum(weight(each) for each in label.own)
    found = sum(
        weight(each) * max((likeness(each, word) for word in words), default=0.0)
        for each in label.own
    )
    return found / whole if whole else 0.0
