"""One self-contained HTML page about a run: totals, charts, every result and what it rests on."""

from batchata.report.writing import Options, Written, write_report

__all__ = ["Options", "Written", "write_report"]
