"""Which passage stands behind which field of an answer. Pure."""

from batchata.core.citing.blocks import CitationMap, CitedBlock
from batchata.core.citing.known import map_citations_to_fields
from batchata.core.citing.mapping import map_citations

__all__ = ["CitationMap", "CitedBlock", "map_citations", "map_citations_to_fields"]
