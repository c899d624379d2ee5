"""Keeps keys out of the gateway's log: a traceback of a user's interceptor may quote one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from batchata.core.redact import Redactor
from batchata.gateway.proxy.config.model import GatewayConfig


class CleanFormatter(logging.Formatter):
    """Takes out known secrets, and what looks like a key."""

    def __init__(self, text: str, known: Iterable[str] = ()) -> None:
        super().__init__(text)
        self._redactor = Redactor(known)

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record, its traceback with them."""
        text = self._redactor.text(super().format(record))
        return self._redactor.json(text.encode("utf-8", "replace")).decode()


def secrets(config: GatewayConfig) -> Iterator[str]:
    """The secrets in a configuration."""
    if config.server.client_token:
        yield config.server.client_token
    for section in config.sections:
        if section.api_key:
            yield section.api_key
        password = urlsplit(section.outbound_proxy or "").password
        if password:
            yield password
            yield unquote(password)
    for each in config.interceptors:
        headers = each.config.get("headers")
        yield from map(str, headers.values()) if isinstance(headers, dict) else ()
