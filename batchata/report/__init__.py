"""One self-contained HTML page about a run: totals, charts, every result and its evidence."""

from batchata.report.writing import Options, Written, write_report

__all__ = ["Options", "Written", "write_report"]
