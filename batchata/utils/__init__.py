"""Names that earlier releases kept here; each has its own home now."""

from typing import TYPE_CHECKING

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.compat import get_logger, set_log_level, to_dict
    from batchata.core.budget import CostTracker
    from batchata.core.citing import map_citations_to_fields
    from batchata.core.flat import validate_flat_model
    from batchata.core.tokens import token_count_simple
    from batchata.documents.pdf import create_pdf, is_textual_pdf
    from batchata.documents.pdf_tokens import estimate_pdf_tokens
    from batchata.sinks.terminal import RichBatchProgressDisplay
    from batchata.stores.manager import StateManager

_HOMES = {
    "CostTracker": "batchata.core.budget",
    "RichBatchProgressDisplay": "batchata.sinks.terminal",
    "StateManager": "batchata.stores.manager",
    "create_pdf": "batchata.documents.pdf",
    "estimate_pdf_tokens": "batchata.documents.pdf_tokens",
    "get_logger": "batchata.compat",
    "is_textual_pdf": "batchata.documents.pdf",
    "map_citations_to_fields": "batchata.core.citing",
    "set_log_level": "batchata.compat",
    "to_dict": "batchata.compat",
    "token_count_simple": "batchata.core.tokens",
    "validate_flat_model": "batchata.core.flat",
}

__all__ = [
    "CostTracker",
    "RichBatchProgressDisplay",
    "StateManager",
    "create_pdf",
    "estimate_pdf_tokens",
    "get_logger",
    "is_textual_pdf",
    "map_citations_to_fields",
    "set_log_level",
    "to_dict",
    "token_count_simple",
    "validate_flat_model",
]


__getattr__ = lazy_exports(__name__, _HOMES)
