"""Decides, request by request, which of a scenario's faults strikes."""

from collections import Counter
from fnmatch import fnmatchcase
from zlib import crc32

from batchata.gateway.sandbox.scenario import BatchFault, HttpFault, ItemFault, Scenario
from batchata.gateway.wire.vendors import Vendor


class FaultBook:
    """The faults of one scenario and how often each has struck."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._struck: Counter[HttpFault | ItemFault | BatchFault] = Counter()
        self._passed: Counter[HttpFault | BatchFault] = Counter()
        self._asked: Counter[tuple[HttpFault | ItemFault, bytes]] = Counter()

    def http(self, route: str, body: bytes) -> HttpFault | None:
        """Claim the first fault of the connection that strikes this request."""
        for fault in self._scenario.http:
            if not fnmatchcase(route, fault.route) or fault.contains.encode() not in body:
                continue
            if not self._chosen(fault, body) or not self._skipped(fault):
                continue
            if self._claim(fault):
                return fault
        return None

    def item(self, custom_id: str, body: bytes) -> ItemFault | None:
        """Claim the first fault that strikes this question."""
        for fault in self._scenario.items:
            if fault.custom_id not in custom_id or fault.prompt.encode() not in body:
                continue
            if self._chosen(fault, body) and self._claim(fault):
                return fault
        return None

    def batch(self, vendor: Vendor) -> tuple[BatchFault, ...]:
        """Claim all faults that strike a batch created now."""
        return tuple(
            fault
            for fault in self._scenario.batches
            if fault.vendor in ("*", vendor) and self._skipped(fault) and self._claim(fault)
        )

    def needs_bodies(self) -> bool:
        """Say whether a connection fault looks at the request's body."""
        return any(f.contains or f.share < 1 or f.attempts for f in self._scenario.http)

    def _claim(self, fault: HttpFault | ItemFault | BatchFault) -> bool:
        if fault.times is not None and self._struck[fault] >= fault.times:
            return False
        self._struck[fault] += 1
        return True

    def _skipped(self, fault: HttpFault | BatchFault) -> bool:
        if self._passed[fault] < fault.skip:
            self._passed[fault] += 1
            return False
        return True

    def _chosen(self, fault: HttpFault | ItemFault, body: bytes) -> bool:
        if fault.share < 1 and crc32(body, 7) / 2**32 >= fault.share:
            return False
        if fault.attempts is None:
            return True
        self._asked[fault, body] += 1
        return self._asked[fault, body] <= fault.attempts
