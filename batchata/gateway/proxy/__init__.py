"""The proxy: one process on this machine that sees, limits, records and replays every call.

A request goes through these modules in this order:

- `server` puts a gateway together of its configuration and serves; `local` does so in a thread.
- `front` takes requests in: its own pages, the batch APIs, and all else for an upstream.
- `admission` makes an `exchange` of a request: where it goes, and whether it may come in.
- `core` takes it through the interceptors to its upstream and back, and settles it.
- `clean_logs` takes keys out of what is logged on the way.
- `interceptor` is the contract, `chain` asks and tells them in order, `isolation` keeps the fault
  of one from the others, and the package `interceptors` has ours.

The packages have what these are made of:

- `config`: sections of the file, flags and variables, interceptors by name and their options.
- `http`: the bytes: connections on both sides, headers, bodies, upstreams, the guard at the door.
- `reading`: what answers say of themselves, whole or streamed, read from a copy.
- `telemetry`: events and their queue, sessions, metrics.
- `money`: what a call can cost, the limit on disk, the half-price tier.
- `tape`: cassettes.
- `disk`: writing without holding up calls.
"""
