"""From the blocks of an answer and its parsed fields to the citations behind each field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel

from batchata.core.citing.blocks import CitationMap, CitedBlock
from batchata.core.citing.booleans import boolean_hits
from batchata.core.citing.choosing import Answer, Sourced, chosen
from batchata.core.citing.claims import Claim, claim_of, is_enough, settle, telling
from batchata.core.citing.evidence import Surroundings
from batchata.core.citing.hits import Hit, find_hits, wanted_of
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.leaves import Leaf, leaves_of
from batchata.core.citing.rows import by_rows
from batchata.core.result import Citation

#: places looked at more closely in an answer, so that a large one takes no longer
_MOST_LOOKS: Final = 1_500
_FEWEST_LOOKS: Final = 12


def map_citations(
    blocks: Sequence[CitedBlock],
    parsed: BaseModel | Mapping[str, Any] | list[Any],
    *,
    model: type[BaseModel] | None = None,
) -> CitationMap:
    """Find for each field of `parsed` the citations of the blocks that say its value.

    Looks at the model's own words, which name the field, and at the passages cited. Never
    raises for what a model or a vendor sends. Booleans are mapped only where their label stands
    beside a yes or a no, so they do not count as unmapped.
    """
    return map_blocks(blocks, parsed, model=model, between="")


def map_blocks(
    blocks: Sequence[CitedBlock],
    parsed: Any,
    *,
    model: type[BaseModel] | None = None,
    between: str,
) -> CitationMap:
    """`map_citations` for blocks that have `between` between them in the answer."""
    leaves = leaves_of(parsed, model)
    mappable = [leaf.path for leaf in leaves if not isinstance(leaf.value, bool)]
    if not leaves or not any(block.citations for block in blocks):
        return CitationMap(unmapped=tuple(mappable), warnings=_warnings(mappable, ()))
    answer = _look(blocks, leaves, between)
    found = {
        leaf.path: [_citation(sourced) for sourced in picked]
        for index, leaf in enumerate(leaves)
        if (picked := chosen(answer, index))
    }
    unmapped = tuple(path for path in mappable if path not in found)
    return CitationMap(fields=found, unmapped=unmapped, warnings=_warnings(mappable, unmapped))


def _warnings(mappable: Sequence[str], unmapped: Sequence[str]) -> tuple[str, ...]:
    if not mappable or len(unmapped) * 2 <= len(mappable):
        return ()
    return (f"Could not find citations for: {', '.join(unmapped)}",)


def _look(blocks: Sequence[CitedBlock], leaves: Sequence[Leaf], between: str) -> Answer:
    own = JoinedText((block.text for block in blocks), between=between)
    cited_texts = list(dict.fromkeys(each.text for block in blocks for each in block.citations))
    cited = JoinedText(cited_texts, between="\n\n")
    wanted = wanted_of(leaves)
    own_hits = find_hits(own, wanted)
    for index, leaf in enumerate(leaves):
        if isinstance(leaf.value, bool):
            own_hits.extend(boolean_hits(own, index, leaf.label, leaf.value))
    cited_hits = find_hits(cited, wanted)
    claims = _claims(own, own_hits, leaves)
    claims = settle(_enough(by_rows(own.text, claims, leaves), leaves), leaves)
    by_leaf: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_leaf[claim.leaf].append(claim)
    silent = [hit for hit in cited_hits if hit.leaf not in by_leaf]
    from_source: dict[int, list[Claim]] = defaultdict(list)
    for claim in settle(_enough(_claims(cited, silent, leaves), leaves), leaves):
        from_source[claim.leaf].append(claim)
    places: dict[int, dict[int, Hit]] = defaultdict(dict)
    for hit in cited_hits:
        places[hit.leaf].setdefault(cited.part_at(hit.start), hit)
    return Answer(
        blocks=blocks,
        leaves=leaves,
        own=own,
        cited=cited,
        part_of={text: number for number, text in enumerate(cited_texts)},
        claims=by_leaf,
        cited_claims=from_source,
        cited_parts={leaf: set(parts) for leaf, parts in places.items()},
    )


def _claims(joined: JoinedText, hits: Sequence[Hit], leaves: Sequence[Leaf]) -> list[Claim]:
    paths = {leaf.label.path for leaf in leaves}
    spans = [(hit.start, hit.end) for hit in hits if hit.quality >= 0.7]
    surroundings = Surroundings(joined, spans, paths)
    found = []
    for hit in _thinned(joined, hits, leaves):
        leaf = leaves[hit.leaf]
        evidence = surroundings.evidence(leaf.label, hit.start, hit.end)
        if isinstance(leaf.value, bool):
            # its label was found first, and is what makes it a hit
            found.append(Claim(hit.leaf, hit.start, hit.end, 1.0, hit.quality))
        else:
            found.append(claim_of(hit, evidence))
    return found


def _enough(claims: Sequence[Claim], leaves: Sequence[Leaf]) -> list[Claim]:
    told = [telling(leaf.value) for leaf in leaves]
    return [claim for claim in claims if is_enough(claim, told[claim.leaf])]


def _thinned(joined: JoinedText, hits: Sequence[Hit], leaves: Sequence[Leaf]) -> list[Hit]:
    """Not too many places: those with a word of the label near come first."""
    most = max(_FEWEST_LOOKS, _MOST_LOOKS // max(1, len({hit.leaf for hit in hits})))
    by_leaf: dict[int, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_leaf[hit.leaf].append(hit)
    kept = []
    for leaf, found in by_leaf.items():
        if len(found) > most:
            stems = [each.stem for each in leaves[leaf].label.own]
            text = joined.text

            def is_far(hit: Hit, stems: list[str] = stems, text: str = text) -> bool:
                near = text[max(0, hit.start - 60) : hit.end + 30]
                return not any(stem in near for stem in stems)

            found = sorted(found, key=is_far)[:most]
        kept.extend(found)
    return kept


def _citation(sourced: Sourced) -> Citation:
    """A copy of the citation that says why it was chosen."""
    metadata = {**(sourced.citation.metadata or {}), "score": round(sourced.score, 3)}
    return replace(
        sourced.citation,
        metadata=metadata,
        confidence=sourced.confidence,
        match_reason=sourced.reason,
    )
