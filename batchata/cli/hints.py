"""What errors advise, in the words of a shell."""

from __future__ import annotations

import re
from typing import Final

from batchata.core.errors import BatchataError, JobChangedError, UnknownPriceError

_HINTS: Final[dict[type[BatchataError], str]] = {
    UnknownPriceError: "give its price with --prices FILE, or --allow-unpriced to count it as free",
    JobChangedError: "give changed rows new ids, or use another --state and --results",
}
#: what a script would write, and the flag that says the same
_FLAGS: Final = (
    (r'write \.set_provider\("[\w-]+", base_url="([^"]+)"\)', r"write --base-url \1"),
    (r", or \.set_provider\(.*\)$", ""),
    (r"\.set_state\('([^']+)'\)", r"--state \1"),
    (r'\.set_route\("(\w+)"\)', r"--route \1"),
    (r"add_cost_limit\(usd=5\)", "--limit-usd 5"),
)


def hint_of(error: BatchataError) -> str | None:
    """The error's hint, with flags in place of methods."""
    hint = _HINTS.get(type(error), error.hint)
    for method, flag in _FLAGS:
        hint = re.sub(method, flag, hint) if hint else hint
    return hint
