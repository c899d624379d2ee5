"""Makes an estimate: what a run would send and cost, before anything is sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from batchata.core.errors import (
    BatchataError,
    DuplicateJobError,
    NoRouteError,
    UnknownPriceError,
)
from batchata.core.estimate import Estimate, ModelEstimate
from batchata.core.job import Job, digest, why_unaskable
from batchata.core.plan import chunk_limits, plan
from batchata.core.submission import Shape, attached_size
from batchata.core.upload import UploadKey, inline_bytes
from batchata.core.usage import RateCard, Usage, from_parts
from batchata.engine.preparing import Ready
from batchata.engine.upload_choice import UploadChoice
from batchata.ports import Encoded
from batchata.sdk.results import cached_answers, settled_ids
from batchata.sdk.wiring import Parts

#: plain text is about this many bytes a token; answers fill about half of their cap
_BYTES_PER_TOKEN = 4
_FILLED = 2
#: what a batch's file says around a request
_LINE_BYTES = 200


@dataclass(slots=True)
class _Files:
    """The files of jobs at one provider, and which of them are uploaded once for all."""

    uses: Counter[str] = field(default_factory=Counter)  #: by digest
    uploads: dict[UploadKey, int] = field(default_factory=dict)  #: with sizes

    def spared(self, choice: UploadChoice, encoded: Encoded, size: int) -> int:
        """Bytes that a request does not carry, because it names its files by id."""
        chosen = choice.chosen(
            encoded.shape, encoded.attachments, size, lambda each: self.uses[each.sha256]
        )
        self.uploads.update({key: each.size_bytes for each, key in chosen})
        return sum(inline_bytes(each) for each, _ in chosen)


@dataclass(slots=True)
class _Sum:
    attached: list[tuple[int, Encoded]] = field(default_factory=list)  #: by place among `items`
    items: list[tuple[int, int, int]] = field(default_factory=list)
    worst: int = 0
    expected: Decimal = Decimal(0)
    expected_live: Decimal = Decimal(0)
    exact: bool = True


def make_estimate(parts: Parts, jobs: Iterable[Job]) -> Estimate:
    """Estimate these jobs, less those the state file has ended already.

    Raises what a run would raise before it sends anything: UnknownPriceError, DuplicateJobError
    and NoRouteError.
    """
    preparer = parts.preparer()
    done_ids = _done_ids(parts)
    sums: dict[tuple[str, str], _Sum] = {}
    asked: set[tuple[Shape, bytes]] = set()
    bad: list[str] = []
    done = shared = cached = 0
    with cached_answers(parts.config) as recall:
        for job in jobs:
            try:
                ready = preparer.ready(job)
            except (DuplicateJobError, UnknownPriceError, NoRouteError):
                raise
            except BatchataError as error:
                bad.append(_bad(job, error))
                continue
            shape = ready.encoded.shape
            if ready.id in done_ids:
                done += 1
                is_sent = False
            else:
                found = recall(shape, ready.encoded.body)
                is_sent = found is None or not ready.takes(found)
                cached += not is_sent
            if parts.config.dedupe:
                question = (shape, digest(ready.encoded.body))
                shared += is_sent and question in asked
                is_sent = is_sent and question not in asked
                asked.add(question)
            if is_sent:
                _add(parts, sums.setdefault((shape.provider, shape.model), _Sum()), ready)
    uploads = _spare(parts, sums)
    return Estimate(
        models=tuple(
            _model(parts, provider, model, each) for (provider, model), each in sums.items()
        ),
        done=done,
        bad=tuple(bad),
        limit_usd=parts.config.cost_limit_usd,
        shared=shared,
        cached=cached,
        uploads=len(uploads),
        upload_bytes=sum(uploads.values()),
    )


def _bad(job: Job, error: BatchataError) -> str:
    why = why_unaskable(job, error)
    return f"job {job.id!r}: {why}" if job.id else why


def _spare(parts: Parts, sums: Mapping[tuple[str, str], _Sum]) -> dict[UploadKey, int]:
    """Take files that would be uploaded out of the requests; returns them with their sizes."""
    files: defaultdict[str, _Files] = defaultdict(_Files)
    for (provider, _), total in sums.items():
        for _, encoded in total.attached:
            files[provider].uses.update(each.sha256 for each in encoded.attachments)
    for (provider, _), total in sums.items():
        choice = UploadChoice(parts.provider(provider), parts.config)
        for place, encoded in total.attached:
            number, size, tokens = total.items[place]
            size -= files[provider].spared(choice, encoded, size)
            total.items[place] = (number, size, tokens)
    return {key: size for each in files.values() for key, size in each.uploads.items()}


def _add(parts: Parts, total: _Sum, ready: Ready) -> None:
    encoded = ready.encoded
    shape = encoded.shape
    if encoded.attachments:
        total.attached.append((len(total.items), encoded))
    size = len(encoded.body) + attached_size(encoded.attachments)
    total.items.append((0, size + _LINE_BYTES, encoded.input_bound))
    total.worst += ready.cost_bound
    if encoded.cost_bound_usd is not None:
        total.expected += encoded.cost_bound_usd
        total.expected_live += encoded.cost_bound_usd
        return
    card = _likely_card(parts, shape.provider, shape.model)
    # a document counts in the bound by its pages and pictures, of which the body knows nothing
    read = max(len(encoded.body), encoded.input_bound)
    likely = Usage(-(-read // _BYTES_PER_TOKEN), -(-encoded.output_bound // _FILLED))
    total.expected += card.cost_usd(likely)
    total.exact = total.exact and card.is_exact
    if parts.config.route == "auto":
        live = parts.card(shape.provider, shape.model, "standard")
        total.expected_live += live.cost_usd(likely)


def _likely_card(parts: Parts, provider: str, model: str) -> RateCard:
    """The prices that most jobs will pay: those of batches, if any are made."""
    if not parts.config.makes_batches:
        return parts.card(provider, model, "standard")
    try:
        return parts.card(provider, model, "batch")
    except UnknownPriceError:
        return parts.card(provider, model, parts.bound_tier)


def _model(parts: Parts, provider: str, model: str, total: _Sum) -> ModelEstimate:
    config = parts.config
    batch = parts.provider(provider).batch
    chunks = 0
    if batch is not None and config.makes_batches:
        limits = chunk_limits(batch.limits, config.items_per_batch, config.queue_tokens.get(model))
        chunks = sum(1 for _ in plan(total.items, limits))
    return ModelEstimate(
        provider=provider,
        model=model,
        jobs=len(total.items),
        chunks=chunks,
        size_bytes=sum(size for _, size, _ in total.items),
        expected_usd=total.expected,
        worst_case_usd=from_parts(total.worst),
        is_exact=total.exact,
        expected_live_usd=total.expected_live if config.route == "auto" else None,
    )


def _done_ids(parts: Parts) -> set[str]:
    config = parts.config
    path = config.state_file
    if path is None and config.results_dir is not None:
        path = config.results_dir / "state.db"
    if path is None or not config.reuse_state:
        return set()
    return settled_ids(path)
