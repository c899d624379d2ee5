"""Token counts, under the module name that earlier releases had."""

from batchata.core.tokens import token_count_simple

__all__ = ["token_count_simple"]
