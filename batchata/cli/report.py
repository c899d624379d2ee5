"""`batchata report STATE`: one HTML file with everything about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchata.cli import options
from batchata.cli.files import state_file
from batchata.cli.output import print_json, say

_MOST_RESULTS = 10_000
_MOST_PICTURES = 24


def report(
    state: options.State,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", dir_okay=False)
    ] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="At most this many results; totals always count all.")
    ] = _MOST_RESULTS,
    pictures: Annotated[
        int,
        typer.Option(min=0, help="Draw at most this many PDF pages (needs batchata\\[report])."),
    ] = _MOST_PICTURES,
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Look passages up in the PDFs of the jobs.")
    ] = True,
    as_json: options.Json = False,
) -> None:
    """Write one HTML file about a run: totals, charts, every result and what it cites.

    The file loads nothing and can be sent to somebody. Also works while the run goes on. A
    report that is there already is replaced, any other file is not.

    Example: [bold]batchata report reviews-results --output reviews.html[/bold]
    """
    from batchata.report import Options, write_report
    from batchata.sinks.wording import plural

    path = state_file(state)
    written = write_report(
        path,
        output,
        Options(title=title, limit=limit, pictures=pictures, reads_files=files),
    )
    if as_json:
        print_json(
            {
                "output": str(output),
                "results": written.results,
                "left_out": written.left_out,
                "size_bytes": written.size_bytes,
                "pictures": written.pictures,
            }
        )
        return
    say(
        f"written to {output}: {plural(written.results, 'result')}, "
        f"{written.size_bytes / 1e6:.1f} MB"
    )
    if written.left_out:
        say(f"{written.left_out:,} results are left out; --limit N takes more")
    if written.pictures and written.pictures_left_out:
        say(f"{written.pictures_left_out:,} cited pages have no picture; --pictures N draws more")
