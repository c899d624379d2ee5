"""`budget`: a hard limit on money for any application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from batchata.core.bounds import DEARER_TIERS, output_cap
from batchata.core.budget import checked_usd
from batchata.core.errors import UnknownPriceError, ValidationError
from batchata.core.usage import Usage, from_parts, to_parts
from batchata.gateway.proxy.exchange import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Answered,
    Exchange,
    SetAside,
)
from batchata.gateway.proxy.interceptor import (
    CONTINUE,
    Continue,
    Interceptor,
    Outcome,
    Reject,
    Replace,
)
from batchata.gateway.proxy.interceptors.one_key import ONE_KEY
from batchata.gateway.proxy.money.bounds import (
    HEARD,
    SPOKEN,
    card_of,
    is_free,
    names_no_tier,
    text_worst_case,
    tools_asked,
    uncounted,
    uncounted_audio,
    worst_case,
)
from batchata.gateway.proxy.money.spend_limits import SpendLimit, SpendLimits
from batchata.gateway.wire.objects import with_fields
from batchata.stores.spending import TOTAL

SCOPES: Final = ("", "session", "agent", "key", "model", "day")
#: tells the gateway's own batches that the limit was the gateway's, not the vendor's
REFUSED: Final = "x-batchata-budget"
_FINAL: Final = (("x-should-retry", "false"), (REFUSED, "refused"))
_LATER: Final = ((REFUSED, "set aside"),)
#: the code for a call that may fit once the cost of calls in flight is known
SET_ASIDE: Final = "budget_set_aside"
#: sent by proxies in front of a vendor, which may be working on the answer all the same
_ON_THE_WAY: Final = frozenset({408, 499, 502, 504, *range(520, 528)})


class Budget(Interceptor):
    """Sets the worst case of a call aside before it leaves, and settles it by the reported usage.

    `limit_usd` applies to everything, or to each session, agent, key, model or day (UTC) with
    `per`; `total_limit_usd` then applies to all of them together. A model without a price is
    refused, and so is what may cost more than its tokens, unless a pattern in `uncounted` names it.
    With `per: key` a call that carries several keys is refused. A call that would fit once others
    are settled waits for that, up to `wait_seconds`. `state` may be the state file of batch runs:
    what they spend counts too. A chat stream that reports no usage counts as its worst case;
    `ask_usage` has the vendor report it.
    """

    name = "budget"
    is_policy = True
    ends_at_once = True
    is_last = True
    options: ClassVar = {
        "limit_usd": None,
        "per": "",
        "total_limit_usd": None,
        "state": "./gateway.db",
        "allow_unpriced": False,
        "free_paths": (),
        "uncounted": (),
        "wait_seconds": 0,
        "ask_usage": False,
    }
    limit_usd: Decimal | float  #: must be given
    per: str  #: `session`, `agent`, `key`, `model` or `day` (UTC); by default one limit for all
    total_limit_usd: Decimal | float | None  #: with `per`, a limit for all of them together
    state: str | Path  #: state file of the limit; it may be that of batch runs
    allow_unpriced: bool  #: let through, uncounted, what has no known price
    free_paths: tuple[str, ...]  #: path patterns of POST requests that cost nothing
    #: patterns of what to let through though it may cost more than its tokens, as `file_search`
    uncounted: tuple[str, ...]
    wait_seconds: Annotated[float, Field(ge=0)]  #: how long to wait for calls in flight
    ask_usage: bool  #: add `stream_options: {include_usage: true}` if the client did not

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.limit_usd is None or checked_usd(self.limit_usd) <= 0:
            raise ValidationError(
                f"budget: limit_usd is {self.limit_usd!r}", hint="write limit_usd: 5"
            )
        if self.per not in SCOPES:
            raise ValidationError(
                f"budget: per is {self.per!r}", hint=f"use one of {', '.join(SCOPES[1:])}"
            )
        self._limit = to_parts(checked_usd(self.limit_usd))
        total = self.total_limit_usd if self.per else self.limit_usd
        self._total = None if total is None else to_parts(checked_usd(total))
        self._ledger = str(Path(self.state).absolute())
        self._held: dict[str, tuple[tuple[SpendLimit, ...], int]] = {}

    async def start(self) -> None:
        """Open the ledger."""
        self._limits = SpendLimits(Path(self.state), total=self._total)
        self._limits.start()

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Set the worst case aside, or refuse the call."""
        worst = self._bound(exchange)
        if not isinstance(worst, int):
            return worst
        if self.per == "key" and exchange.has_several_keys:
            return ONE_KEY
        limits = self._limits_of(exchange)
        short = await self._limits.reserve(limits, worst, self.wait_seconds)
        if short is not None:
            why = _too_dear(exchange, worst, short)
            fits_later = all(each.may_fit(worst) for each in limits)
            return _later(why) if fits_later else _refused(exchange, why)
        self._held[exchange.id] = (limits, worst)
        names = tuple([each.place for each in limits])
        exchange.set_aside = SetAside(self._ledger, names, worst)
        return _asking_usage(exchange) if self.ask_usage else CONTINUE

    def _bound(self, exchange: Exchange) -> int | Continue | Reject:
        """The most that a call can cost (1e-12 USD); if that is not known, what to do with it."""
        if exchange.endpoint is None:
            if is_free(exchange, tuple(self.free_paths)) or self.allow_unpriced:
                return CONTINUE
            return _refused(exchange, _no_bound(exchange))
        if exchange.json is None:
            return Reject(
                message="the gateway's budget refuses this call: its body is not a JSON object, so "
                "its cost has no bound",
                status=400,
            )
        tier = self._own_tier(exchange) if self._limits.own_tiers else None
        try:
            card = card_of(exchange, self.book, tier)
            worst, more = text_worst_case(exchange, card), []
            if worst is None:
                tools = tools_asked(exchange)
                worst = worst_case(exchange, card, tools)
                more = [] if self.allow_unpriced else uncounted(exchange, card, tools)
        except UnknownPriceError:
            if self.allow_unpriced:
                return CONTINUE
            on_tier = f" on the tier {tier!r}" if tier else ""
            what = f"{exchange.model!r} of {exchange.provider!r}{on_tier}"
            return _refused(exchange, _no_price(what))
        except ValidationError as error:
            return Reject(message=error.message, status=400)
        if more and (named := [each for each in more if not self._is_let_pass(each)]):
            return _refused(exchange, _no_fee(named))
        return worst

    async def on_response(self, exchange: Exchange) -> None:
        """Settle what was set aside."""
        held = self._held.pop(exchange.id, None)
        limits, parts = held or self._regained(exchange)
        exchange.set_aside = None
        answered = exchange.answer
        if not limits or answered is None:
            return
        is_made_here = answered.source != "upstream" or not exchange.is_sent
        if is_made_here or answered.ending == "unreachable":
            self._limits.settle(limits, parts, 0)
        elif answered.usage is not None:
            if answered.service_tier in DEARER_TIERS and names_no_tier(exchange):
                self._limits.learn_tier(exchange.upstream.name, answered.service_tier)
            cost = None if self._has_unknown_fee(exchange, answered.usage) else answered.cost_usd
            self._limits.settle(limits, parts, parts if cost is None else to_parts(cost))
        elif _is_refusal(answered):
            self._limits.settle(limits, parts, 0)  # vendors do not charge for what they refuse
        else:
            self._limits.keep(limits, parts)

    async def aclose(self) -> None:
        """Give back what is no longer set aside, and close the ledger."""
        await self._limits.aclose()

    def gauges(self) -> Mapping[str, float]:
        """What is spent, possibly spent and set aside, in USD."""
        total = self._limits.total
        parts = {"spent": total.spent, "uncertain": total.uncertain, "reserved": total.reserved}
        return {f"{name}_usd": float(from_parts(value)) for name, value in parts.items()}

    def _own_tier(self, exchange: Exchange) -> str | None:
        """The tier that earlier calls to this upstream got without naming one."""
        tiers = self._limits.own_tiers
        return tiers.get(exchange.upstream.name) if names_no_tier(exchange) else None

    def _is_let_pass(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.uncounted)

    def _has_unknown_fee(self, exchange: Exchange, usage: Usage) -> bool:
        """True for audio without a known price that the request did not show."""
        if not (usage.input_audio_tokens or usage.output_audio_tokens) or self.allow_unpriced:
            return False
        kinds = uncounted_audio(exchange, usage, card_of(exchange, self.book))
        return not all(map(self._is_let_pass, kinds))

    def _regained(self, exchange: Exchange) -> tuple[tuple[SpendLimit, ...], int]:
        """What another process set aside for a call that ends in this one."""
        found = exchange.set_aside
        if found is None or found.ledger != self._ledger:
            return (), 0
        limits = tuple(
            self._limits.total if each == TOTAL else self._limits.of(*each, self._limit)
            for each in found.purses
        )
        return (limits, found.parts) if self._limits.regain(limits, found.parts) else ((), 0)

    def _limits_of(self, exchange: Exchange) -> tuple[SpendLimit, ...]:
        if not self.per:
            return (self._limits.total,)
        name = {
            "session": exchange.session_id,
            "agent": exchange.agent_id,
            "key": exchange.client,
            "model": f"{exchange.provider}:{exchange.model}",
            "day": datetime.now(UTC).strftime("%Y-%m-%d"),
        }[self.per]
        return (self._limits.of(self.per, name, self._limit), self._limits.total)


def _asking_usage(exchange: Exchange) -> Outcome:
    """Have a chat stream end with its usage, if its client did not ask for that."""
    body = exchange.json or {}
    options = body.get("stream_options") or {}
    if not exchange.is_stream or exchange.endpoint not in (CHAT, COMPLETIONS):
        return CONTINUE
    if not isinstance(options, dict) or options.get("include_usage") is not None:
        return CONTINUE
    if exchange.body is None:  # it cannot be rewritten: it counts as its worst case
        return CONTINUE
    wanted = {**options, "include_usage": True}
    return Replace(body=with_fields(exchange.body, {"stream_options": wanted}))


def _is_refusal(answered: Answered) -> bool:
    """True when the vendor itself refused, rather than something on the way to it."""
    is_vendors = answered.status >= 400 and answered.status not in _ON_THE_WAY
    return is_vendors and answered.ending == "answered"


def _too_dear(exchange: Exchange, worst: int, short: SpendLimit) -> str:
    what = f"the {short.scope} {short.name!r}" if short.name else "the gateway"
    used, limit = from_parts(short.spent + short.uncertain), from_parts(short.named or 0)
    runs, asked = from_parts(short.used_by_runs), from_parts(worst)
    said = (
        f"this call may cost ${asked:.6f}, and of the limit of ${_plain(limit)} for {what} "
        + (f"${runs:.6f} is spent by runs of its state file, " if runs else "")
        + f"${used:.6f} is spent and ${short.reserved_usd:.6f} set aside"
    )
    if (
        output_cap(exchange.endpoint, exchange.json or {}) is None
        and exchange.endpoint != EMBEDDINGS
    ):
        said += "; it names no max_tokens, so the longest possible answer was assumed"
    return said


def _plain(usd: Decimal) -> str:
    """An amount without trailing zeros."""
    return f"{usd.normalize():f}"


def _no_price(what: str) -> str:
    return f"no price is known for {what}, so its cost has no bound: give one under prices"


def _no_fee(names: list[str]) -> str:
    said = (
        f"it is unknown what {', '.join(names)} may cost besides its tokens: name it under "
        "uncounted to count only those"
    )
    if not {HEARD, SPOKEN}.isdisjoint(names):
        said += ", or give the model prices with input_audio and output_audio"
    return said


def _no_bound(exchange: Exchange) -> str:
    said = f"it is unknown what {exchange.method} {exchange.path} may cost: "
    if exchange.path.startswith("/v1/v1/"):
        return f"{said}leave /v1 out of the client's base URL, which it adds itself"
    return f"{said}name it among free_paths if it costs nothing, or set allow_unpriced"


def _later(why: str) -> Reject:
    """A refusal that SDKs retry: what is set aside is given back when calls have ended."""
    message = f"the gateway's budget refuses this call for now: {why}"
    return Reject(message=message, status=429, code=SET_ASIDE, headers=_LATER)


def _refused(exchange: Exchange, why: str) -> Reject:
    """A refusal in the vendor's shape, which no SDK retries."""
    message = f"the gateway's budget refuses this call: {why}"
    if exchange.vendor == "anthropic":
        return Reject(message=message, status=402, code="budget_exceeded", headers=_FINAL)
    return Reject(message=message, status=429, code="insufficient_quota", headers=_FINAL)
