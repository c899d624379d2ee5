"""OpenAI's Batch API: what it refuses, and how it words its results."""

from collections.abc import Sequence
from typing import Final

from batchata.gateway.wire.errors import invalid
from batchata.gateway.wire.openai import BatchCreate, Metadata
from batchata.gateway.wire.uploads import EXPIRY_RANGE, StoredFile
from batchata.gateway.wire.vendors import TokenUsage

ENDPOINTS: Final = ("/v1/responses", "/v1/chat/completions", "/v1/embeddings")
METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512
#: how a batch ended → code and message of a request that it ended too early for
LATE: Final = {
    "expired": ("batch_expired", "This request could not be executed before the batch expired."),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}


def check_create(
    wanted: BatchCreate, stored: StoredFile | None, endpoints: Sequence[str] = ENDPOINTS
) -> None:
    """Refuse an invalid batch; `stored` is its input file."""
    if stored is None:
        raise invalid(
            f"Invalid 'input_file_id': no file found with id '{wanted.input_file_id}'.",
            param="input_file_id",
        )
    if stored.purpose != "batch":
        raise invalid("Invalid input file purpose: expected 'batch'.", param="input_file_id")
    if wanted.endpoint not in endpoints:
        raise invalid(
            f"Invalid value: '{wanted.endpoint}'. Supported values are: "
            f"{', '.join(repr(endpoint) for endpoint in endpoints)}.",
            param="endpoint",
            code="invalid_value",
        )
    check_metadata(wanted.metadata)
    low, high = EXPIRY_RANGE
    if wanted.output_expires_after and not low <= wanted.output_expires_after.seconds <= high:
        raise invalid(
            f"Invalid 'output_expires_after.seconds': expected {low} to {high}.",
            param="output_expires_after.seconds",
        )


def check_metadata(metadata: Metadata | None) -> None:
    """Refuse metadata beyond the limits."""
    if not metadata:
        return
    if len(metadata) > METADATA_PAIRS:
        raise invalid(
            f"Invalid 'metadata': too many properties. Expected at most {METADATA_PAIRS}.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key, value in metadata.items():
        if len(key) > METADATA_KEY or len(value) > METADATA_VALUE:
            raise invalid(
                f"Invalid 'metadata.{key}': string too long.",
                param=f"metadata.{key}",
                code="string_above_max_length",
            )


def usage_object(usage: TokenUsage) -> dict[str, object]:
    """Write usage as responses and batches do."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
