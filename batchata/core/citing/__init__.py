"""Which passage stands behind which field of an answer. Pure."""

from batchata.core.citing.blocks import CitationMap, CitedBlock
from batchata.core.citing.labelled_parser import parse_labelled
from batchata.core.citing.labelled_request import labelled_prompt
from batchata.core.citing.legacy import map_citations_to_fields
from batchata.core.citing.mapping import map_citations
from batchata.core.citing.passages import Location, Pages, locate
from batchata.core.citing.quotes import parse_quoted, split_quotes, with_quotes
from batchata.core.citing.stated_values import unstated

__all__ = [
    "CitationMap",
    "CitedBlock",
    "Location",
    "Pages",
    "labelled_prompt",
    "locate",
    "map_citations",
    "map_citations_to_fields",
    "parse_labelled",
    "parse_quoted",
    "split_quotes",
    "unstated",
    "with_quotes",
]
