"""How long the gateway takes to find a call's session among very many, and what they take.

python -m benchmarks.gateway_sessions --sessions 100000
"""

from __future__ import annotations

import argparse
import gc
import time
from itertools import count

import orjson

from batchata.gateway.proxy.exchange import CHAT, Answered, Exchange
from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.gateway.proxy.server import GARBAGE
from batchata.gateway.proxy.telemetry.sessions import Sessions
from benchmarks.instant import resident_mb

_UPSTREAM = Upstream(name="up", base_url="http://127.0.0.1:1", type="openai")
_OPENING = "The same opening of more than a hundred characters, as templates have it. " * 2


def exchange(number: int, *, turns: int) -> Exchange:
    """One call of a conversation."""
    messages = [{"role": "user", "content": f"{_OPENING}{number}"}]
    for _ in range(turns - 1):
        messages.append({"role": "assistant", "content": "Fine."})
        messages.append({"role": "user", "content": "And then?"})
    body = {"model": "gpt-6-luna", "messages": messages}
    return Exchange(
        id=str(number),
        number=number,
        began_us=0,
        method="POST",
        target=CHAT,
        path=CHAT,
        headers=(),
        body=orjson.dumps(body),
        json=body,
        upstream=_UPSTREAM,
        endpoint=CHAT,
        client="c",
    )


def calls(sessions: Sessions, numbers: range, turns: int) -> tuple[float, float, int]:
    """CPU µs a look-up and CPU µs to learn an answer, and how many sessions were new."""
    finding = learning = 0.0
    found_new = 0
    for start in range(0, len(numbers), 1000):
        asked = [exchange(number, turns=turns) for number in numbers[start : start + 1000]]
        began = time.process_time()
        found = [sessions.find(each, "") for each in asked]
        finding += time.process_time() - began
        for each, (session, is_new) in zip(asked, found, strict=True):
            each.session_id = session.id
            found_new += is_new
        began = time.process_time()
        for each in asked:
            sessions.learn(each, Answered(status=200, text="Fine."))
        learning += time.process_time() - began
    return finding / len(numbers) * 1e6, learning / len(numbers) * 1e6, found_new


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    options = parser.parse_args()
    ids = count()
    sessions = Sessions(
        max_sessions=options.sessions,
        ttl_seconds=3600,
        clock=time.monotonic,
        new_id=lambda: f"{next(ids):016x}",
    )
    gc.set_threshold(*GARBAGE)
    before = resident_mb()
    numbers = range(options.sessions)
    begun = calls(sessions, numbers, 1)
    size = resident_mb() - before
    gone_on = calls(sessions, numbers[:: max(1, options.sessions // 10_000)], 2)
    # every single-turn call of a bulk run drives an old session out
    over = calls(sessions, range(options.sessions, options.sessions + 10_000), 1)
    for name, (found, learned, new) in (
        ("first turns", begun),
        ("second turns", gone_on),
        ("beyond the most", over),
    ):
        print(f"{name}: look-up {found:.1f} us, answer {learned:.1f} us, {new:,} new sessions")
    print(f"{options.sessions:,} sessions take {size:.0f} MiB")


if __name__ == "__main__":
    main()
