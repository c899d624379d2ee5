"""`extract_df`: a table in, its rows' answers out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from batchata.batch import Batch
from batchata.core.errors import ValidationError
from batchata.core.job import check_number
from batchata.core.template import text_of
from batchata.frames.asking import make_asking
from batchata.frames.cache import SqliteCache
from batchata.frames.extraction import Extraction, ExtractionOptions, Reuse, Texts, keyed
from batchata.frames.output import Ended, columns_of, unasked
from batchata.frames.packs import RowAnswer
from batchata.frames.schema import ID
from batchata.rows.table import Table
from batchata.sdk.display import print_line
from batchata.sdk.driver import rarely_swept

log = logging.getLogger("batchata")

Frame = TypeVar("Frame")


def extract_df(
    df: Frame,
    *,
    prompt: str,
    cache_path: str | Path,
    model: str,
    schema: Any = None,
    backend: str = "openai",
    id_col: str = "id",
    text_col: str = "text",
    chunk_size: int = 5,
    max_workers: int = 20,
    fresh: bool = False,
    ignore_prompt_hash: bool = False,
    api_key: str | None = None,
    base_url: str | None = None,
    client: Any = None,
    max_tokens: int | None = None,
    params: Mapping[str, Any] | None = None,
    limit_usd: Decimal | float | None = None,
    route: Literal["batch", "live"] = "live",
    print_status: bool = True,
) -> Frame:
    """Ask `prompt` about each row of a table, and return a table of the same kind.

    It has a row for each row given, in their order: `input_id`, the fields of the answer,
    `status` and `error`. Answers are kept in `cache_path` as they come, and a row is not asked
    again with the same id, text, prompt, model, schema and `params` (the vendor's own parameters);
    `fresh` asks anyway, and `ignore_prompt_hash` accepts answers to any prompt. `chunk_size` rows
    share a request.
    """
    check_number("max_workers", max_workers, least=1, whole=True)
    table = Table(df)
    asking = make_asking(
        prompt=prompt,
        model=model,
        backend=backend,
        schema=schema,
        max_tokens=max_tokens,
        params=params,
    )
    reach = Reach(
        provider=asking.provider,
        client=client,
        api_key=api_key,
        base_url=base_url,
        route=route,
        concurrency=max_workers,
        limit_usd=limit_usd,
        go_on=f"call extract_df again with cache_path={str(cache_path)!r}",
    )
    options = ExtractionOptions(
        asking=asking,
        connect=reach.batch,
        rows_per_request=chunk_size,
        reuse=reuse_of(fresh, ignore_prompt_hash),
        print_status=print_status,
    )
    names = (id_col, text_col)
    texts = partial(table.values, text_col)
    ended = extract(table.tuples(names), options, cache_path, texts=texts, names=names)
    answered: Frame = table.renamed({id_col: ID}).with_columns(*columns_of(ended, asking.schema))
    return answered


@rarely_swept()
def extract(
    rows: Iterable[tuple[Any, ...]],
    options: ExtractionOptions,
    cache_path: str | Path,
    *,
    texts: Texts,
    names: tuple[str, str],
) -> Ended:
    """How each row ended, from (id, text); `names` are those of the two columns."""
    missing: list[RowAnswer | None] = []
    asked = keyed(options.asking, _askable(rows, names, missing))
    with SqliteCache(cache_path) as cache:
        extraction = Extraction(options, cache, texts)
        left = extraction.recall(asked)
        _tell(extraction, len(asked) - len(left), len(asked), is_shown=options.print_status)
        if left:
            extraction.ask(left)
    return Ended(missing, extraction.answer)


def _askable(
    rows: Iterable[tuple[Any, ...]], names: tuple[str, str], missing: list[RowAnswer | None]
) -> Iterator[tuple[int, str, str]]:
    """The rows that can be asked, as (number, id, text); for the others `missing` says why not."""
    for number, (row_id, text) in enumerate(rows):
        why = unasked((row_id, text), names)
        missing.append(why)
        if why is None:
            yield number, str(row_id), text_of(text)


def reuse_of(fresh: bool, ignore_prompt: bool) -> Reuse:
    """When an answer from the cache is used."""
    if fresh:
        return "fresh"
    return "ignore_prompt" if ignore_prompt else "strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How rows reach their vendor, and what they may cost."""

    provider: str
    client: Any = None
    api_key: str | None = None
    base_url: str | None = None
    route: Literal["batch", "live"] = "live"
    concurrency: int = 20
    limit_usd: Decimal | float | None = None
    poll_factor: float = 1.0
    go_on: str | None = None  #: what to do after a stop

    def __post_init__(self) -> None:
        if self.client is not None and (self.api_key or self.base_url):
            raise ValidationError(
                "client and api_key or base_url were both given",
                hint="a client has its own key and address",
            )
        self.batch(Path("unused"))  # reports wrong numbers before anything is read

    def batch(self, run_file: Path) -> Batch:
        """A batch without jobs, keeping its state in this file."""
        batch = Batch(items_per_batch=None, raw_files=False).set_state(run_file)
        batch.config = replace(batch.config, go_on=self.go_on)
        batch.set_polling(self.poll_factor)
        if self.route == "live":
            batch.set_route("live", concurrency=self.concurrency)
        if self.client is not None or self.api_key or self.base_url:
            batch.set_provider(
                self.provider, client=self.client, api_key=self.api_key, base_url=self.base_url
            )
        if self.limit_usd is None:
            return batch.set_prices(allow_unpriced=True)
        return batch.add_cost_limit(self.limit_usd)


def _tell(extraction: Extraction, known: int, total: int, *, is_shown: bool) -> None:
    if extraction.old_matches:
        log.warning(
            "%d answers are from an old cache file, which lacks their model, schema and text; "
            "fresh=True asks again",
            extraction.old_matches,
        )
    if known and is_shown:
        print_line(f"SqliteCache: skipping {known} / {total} rows")
