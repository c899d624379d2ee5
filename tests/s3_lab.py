"""An S3 server on this machine, which does as it is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "logs-of-tests"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


class Store:
    """Where the server is, and what it does to those who write."""

    def __init__(self) -> None:
        self.port = 0
        self.refuses = False  #: writes are answered with 503
        self.gate = threading.Event()  #: writes wait until it is set
        self.gate.set()
        self.puts = 0

    @property
    def endpoint(self) -> str:
        """As S3Config takes it."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix: str, bucket: str = BUCKET) -> str:
        """As EventLog and read_events take it."""
        options = f"endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"
        return f"s3://{bucket}/{prefix}?{options}"

    def in_front_of(self, app: Callable[..., Any]) -> Callable[..., Any]:
        """The server with faults."""

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
            if environ["REQUEST_METHOD"] in ("PUT", "POST"):
                self.puts += 1
                self.gate.wait(30)
                if self.refuses:
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    start("503 Slow Down", [("Content-Length", "0")])
                    return [b""]
            return app(environ, start)

        return answer


@contextmanager
def serving() -> Iterator[Store]:
    """The server with an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = Store()
    app = store.in_front_of(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    store.port = server.port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
