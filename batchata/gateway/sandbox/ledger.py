"""What the vendor would bill: every create it took, every item and live call that succeeded."""

from collections import Counter

import msgspec
from msgspec import Struct

from batchata.gateway.wire.vendors import TokenUsage, Vendor


class BilledItem(Struct, kw_only=True, gc=False):
    """One item of a batch that succeeded."""

    vendor: Vendor
    batch_id: str
    custom_id: str
    endpoint: str
    model: str
    content: str  #: digest of the request body, equal for equal questions
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    attempt: int = 1  #: how often this custom_id was billed so far


class LiveCall(Struct, kw_only=True, gc=False):
    """One live call that was answered with 200."""

    vendor: Vendor
    endpoint: str
    model: str
    content: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    at: float


class BatchEntry(Struct, kw_only=True):
    """One batch whose creation was accepted."""

    id: str
    vendor: Vendor
    n: int
    created_at: float
    status: str
    input_file_id: str | None = None
    metadata: dict[str, str] | None = None
    custom_ids: list[str] = []


class Ledger(Struct, kw_only=True):
    """A snapshot of the bill; `from_json` reads the body of `GET /_sandbox/ledger`."""

    batches: list[BatchEntry]
    items: list[BilledItem]
    live: list[LiveCall]
    billed_items: int

    @property
    def custom_ids(self) -> list[str]:
        """List the ids of the billed items, in the order they were billed."""
        return [item.custom_id for item in self.items]

    @property
    def input_tokens(self) -> int:
        """Sum the input tokens of everything billed."""
        in_batches = sum(item.input_tokens for item in self.items)
        return in_batches + sum(call.input_tokens for call in self.live)

    @property
    def output_tokens(self) -> int:
        """Sum the output tokens of everything billed."""
        in_batches = sum(item.output_tokens for item in self.items)
        return in_batches + sum(call.output_tokens for call in self.live)

    def to_json(self) -> bytes:
        """Write the ledger as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> "Ledger":
        """Read a ledger that `to_json` wrote."""
        return msgspec.json.decode(data, type=cls)


class LedgerBook:
    """The ledger while it is being written."""

    def __init__(self) -> None:
        self.items: list[BilledItem] = []
        self.live: list[LiveCall] = []

    def bill_items(self, items: list[BilledItem]) -> None:
        """Take down the items of a batch that succeeded."""
        self.items.extend(items)

    def bill_live(
        self,
        *,
        vendor: Vendor,
        endpoint: str,
        model: str,
        content: str,
        usage: TokenUsage,
        at: float,
    ) -> LiveCall:
        """Take down one live call."""
        call = LiveCall(
            vendor=vendor,
            endpoint=endpoint,
            model=model,
            content=content,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            at=at,
        )
        self.live.append(call)
        return call

    def strike(self, call: LiveCall) -> None:
        """Take a call off the bill: it was cancelled before it was done."""
        self.live = [each for each in self.live if each is not call]

    def snapshot(self, batches: list[BatchEntry]) -> Ledger:
        """Give the bill as it stands, its attempts counted."""
        seen: Counter[tuple[str, str]] = Counter()
        for item in self.items:
            key = (item.vendor, item.custom_id)
            seen[key] += 1
            item.attempt = seen[key]
        return Ledger(
            batches=batches,
            items=list(self.items),
            live=list(self.live),
            billed_items=len(self.items),
        )
