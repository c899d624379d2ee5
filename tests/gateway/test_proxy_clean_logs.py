"""Keys stay out of the gateway's own log."""

import logging
import sys

from batchata.gateway.proxy.clean_logs import CleanFormatter, secrets
from batchata.gateway.proxy.config.loading import load_config

GIVEN = {
    "server": {"client_token": "token-of-clients"},
    "llm": {"base_url": "http://h", "api_key": "key-of-ours"},
    "interceptors": [
        {"type": "trace_export", "config": {"url": "http://h", "headers": {"X": "of-collector"}}}
    ],
}


def test_a_traceback_that_quotes_keys_is_logged_without_them() -> None:
    config = load_config(None, environment={}, given=GIVEN)
    formatter = CleanFormatter("%(message)s", secrets(config))
    keys = ("token-of-clients", "key-of-ours", "of-collector", "sk-proj-abcdefghijklmnop0123")
    try:
        raise ValueError(f"no such header in {keys}")
    except ValueError:
        record = logging.LogRecord("x", 40, "f", 1, "failed %s", (keys[1],), sys.exc_info())

    text = formatter.format(record)

    assert not [key for key in keys if key in text]
    assert "ValueError: no such header in" in text
