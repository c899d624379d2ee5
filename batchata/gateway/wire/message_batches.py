"""Anthropic's Message Batches API: what it refuses, and how it writes times."""

import re
from datetime import UTC, datetime
from typing import Final

from batchata.gateway.wire.anthropic import BatchRequest
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid

CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_requests(requests: list[BatchRequest], limit: int) -> None:
    """Refuse requests that cannot form a batch."""
    if not requests:
        raise invalid("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > limit:
        message = f"requests: a batch may have at most {limit} requests, got {len(requests)}"
        raise RefusedError(VendorError(status=413, message=message))
    seen: set[str] = set()
    for index, item in enumerate(requests):
        if not CUSTOM_ID.fullmatch(item.custom_id):
            raise invalid(
                f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
            )
        if item.custom_id in seen:
            raise invalid(f"requests.{index}.custom_id: custom_ids must be unique")
        seen.add(item.custom_id)


def stamp(seconds: float) -> str:
    """Write a moment as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
