"""Numbers in words for people."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from batchata.core.progress import LiveView

_STEPS: Final = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def usd(amount: Decimal) -> str:
    """Money with as many digits as matter: $0.0312, $12.34, $1,234.50."""
    if amount == 0:
        return "$0.00"
    if 0 < amount < Decimal("0.0001"):
        return "<$0.0001"
    return f"${amount:,.4f}" if abs(amount) < 10 else f"${amount:,.2f}"


def usd_most(amount: Decimal) -> str:
    """An upper bound: ≤ $0.0312, and never less than the smallest amount that is shown."""
    return f"≤ {usd(max(amount, Decimal('0.0001')) if amount else amount)}"


def usd_limit(amount: Decimal) -> str:
    """Money that somebody set: $5.00, with more digits only if they were given."""
    cents = amount.quantize(Decimal("0.01"))
    return f"${cents:,.2f}" if cents == amount else usd(amount)


def possibly_billed(answers: int, amount: Decimal) -> str:
    """What lost answers may have cost: ≤ $0.0312 possibly billed for up to 2 lost answers."""
    return f"{usd_most(amount)} possibly billed for up to {plural(answers, 'lost answer')}"


def compact(number: int) -> str:
    """A count in at most five characters: 940, 12.3k, 1.2M."""
    for size, letter in _STEPS:
        # 999,950 is 1M, not "1000.0k"
        if number >= size * 0.99995:
            value = number / size
            return f"{value:.1f}{letter}" if value < 99.95 else f"{value:.0f}{letter}"
    return str(number)


def clock_time(seconds: float) -> str:
    """A duration like on a clock: 0:12, 1:02:03, 2d 03:00."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A rough duration: about 40 s, about 12 min, about 3 h 20 min."""
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    minutes = max(1, round(seconds / _MINUTE))
    if minutes < 60:
        return f"about {minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    if hours < 24:
        return f"about {hours} h {minutes} min" if minutes else f"about {hours} h"
    days, hours = divmod(round(seconds / _HOUR), 24)
    return f"about {days} d {hours} h" if hours else f"about {days} d"


def pace(live: LiveView) -> list[str]:
    """How fast live calls go: 48 calls in flight, 812 jobs/s, 1.2M tokens/min."""
    per_second = live.jobs_per_second
    jobs = f"{per_second:.1f}" if per_second < 9.95 else compact(round(per_second))
    parts = [
        f"{plural(live.in_flight, 'call')} in flight",
        f"{jobs} jobs/s",
        f"{compact(round(live.tokens_per_minute))} tokens/min",
    ]
    if live.paused_seconds > 0:
        parts.append(f"throttled for {max(1, round(live.paused_seconds))} s")
    return parts


def plural(number: int, noun: str) -> str:
    """A count with its noun: 1 job, 2 jobs, 1 batch, 2 batches."""
    ending = "es" if noun.endswith(("s", "ch", "x")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def tail(text: str, width: int) -> str:
    """`text` cut to `width` from the left, where ids are alike."""
    return text if len(text) <= width else f"…{text[-(width - 1) :]}" if width > 1 else text[:width]
