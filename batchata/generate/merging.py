"""Merges the outputs of splits into one, as if they had been a single run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchata.core.errors import ValidationError
from batchata.generate.config import ROW_FILES
from batchata.generate.identity import difference
from batchata.generate.parts import about, join_parts, join_texts, write_summary
from batchata.generate.selection import span_of_split

_SUMS = ("total_items", "total_responses", "failed", "truncated", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a merge did, or would do."""

    output: Path
    parts: tuple[Path, ...]  #: in the order of their rows
    rows: int  #: of the output
    failed: int


def merge_splits(
    output: str | Path, num_splits: int, *, dry_run: bool = False, overwrite: bool = False
) -> Merge:
    """Join `<stem>-1-of-<n>` … `<stem>-<n>-of-<n>` into `output`, in the order of their numbers.

    Raises ValidationError when one is missing or was made from another input or config, and for
    an output that exists already, unless `overwrite` is given.
    """
    output = Path(output)
    if output.suffix.lower() not in ROW_FILES:
        raise ValidationError(
            f"{str(output)!r} does not end in {', '.join(ROW_FILES)}",
            hint="name the output that the splits have in common",
        )
    if num_splits < 1:
        raise ValidationError(f"{num_splits} splits cannot be merged", hint="write 1 or more")
    paths = [
        output.with_name(f"{output.stem}-{number}-of-{num_splits}{output.suffix}")
        for number in range(1, num_splits + 1)
    ]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        number = paths.index(output.with_name(missing[0])) + 1
        raise ValidationError(
            f"{missing[0]}{more} missing",
            hint=f"run the same command with --split-id {number} --num-splits {num_splits}",
        )
    said = [_checked(path, number, num_splits) for number, path in enumerate(paths, 1)]
    _check_alike(paths, said)
    sums = {name: sum(each[name] for each in said) for name in _SUMS}
    merge = Merge(
        output=output,
        parts=tuple(paths),
        rows=int(sums["total_responses"]),
        failed=int(sums["failed"]),
    )
    if dry_run:
        return merge
    if output.exists() and not overwrite:
        raise ValidationError(
            f"{output} exists already", hint="name another file, or give --yes to replace it"
        )
    whole = {**said[0], **sums, "split": None, "span": [0, said[0]["rows_in_all"]]}
    whole.update(output=str(output), cost_usd=_cost(said), servers=[])
    if output.suffix.lower() == ".parquet":
        join_parts(paths, output, whole)
    else:
        join_texts(paths, output)
    write_summary(output, whole)
    return merge


def _checked(path: Path, number: int, count: int) -> dict[str, Any]:
    said = about(path)
    if said is None:
        raise ValidationError(
            f"{path.name} was not written by `batchata generate`: it has no record of its run",
            hint="run this split again",
        )
    if said["split"] != [number, count]:
        raise ValidationError(
            f"{path.name} is split {said['split']} of another run",
            hint="a file was renamed: run this split again",
        )
    span = span_of_split(said["rows_in_all"], number, count)
    if said["span"] != [span.start, span.stop]:
        raise ValidationError(f"{path.name} does not hold the rows of its split")
    return said


def _check_alike(paths: Sequence[Path], said: Sequence[dict[str, Any]]) -> None:
    for path, each in zip(paths, said, strict=True):
        if each["fingerprint"] != said[0]["fingerprint"]:
            raise ValidationError(
                f"{path.name} does not match {paths[0].name}: "
                f"{difference(said[0]['identity'], each['identity'])}",
                hint="run one of them again with the input and config of the others",
            )


def _cost(said: Sequence[dict[str, Any]]) -> float:
    return float(sum(Decimal(str(each["cost_usd"])) for each in said))
