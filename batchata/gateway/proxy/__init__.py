"""The proxy: one process on this machine that sees, limits, records and replays every call.

A request goes through these modules in this order:

- `server` builds a gateway from its configuration and serves it; `local` does so in a thread.
- `front` takes requests in: for its own pages, the batch APIs, and otherwise an upstream.
- `admission` makes an `exchange` of a request: where it goes, and whether it may come in.
- `core` takes it through the interceptors to its upstream and back, and settles it.
- `clean_logs` takes keys out of what is logged on the way.
- `interceptor` is the contract, `chain` calls them in order, `isolation` keeps the fault of one
  from the others, and the package `interceptors` has ours.

The packages have the parts that these are made of:

- `config`: sections of the file, flags and variables, interceptors by name and their options.
- `http`: the bytes: connections on both sides, headers, bodies, upstreams, the guard at the door.
- `reading`: what answers say about themselves, whole or streamed, read from a copy.
- `telemetry`: events and their queue, sessions, metrics.
- `money`: what a call can cost, the limit on disk, the half-price tier.
- `tape`: cassettes.
- `disk`: writing without holding up calls.
"""
