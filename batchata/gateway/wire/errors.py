"""Errors in the vendors' own shapes."""

from dataclasses import dataclass
from typing import Final

import orjson

from batchata.gateway.wire.vendors import Vendor

ANTHROPIC_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OPENAI_TYPES: Final[dict[int, str]] = {
    429: "requests",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
    529: "server_error",
}

#: at OpenAI the type of an error as well as its code
_QUOTA: Final = "insufficient_quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorError:
    """One refusal, before it is written in a vendor's shape."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None  #: OpenAI `code`, Anthropic `details.error_code`
    type: str | None = None  #: the default follows from the status

    def body(self, vendor: Vendor, request_id: str | None = None) -> bytes:
        """Write the error as this vendor does."""
        if vendor == "anthropic":
            return orjson.dumps(self.anthropic_body(request_id))
        return orjson.dumps({"error": self.openai_error()})

    @property
    def _readable(self) -> str:
        """The message, with question marks for invalid UTF-8 in what it quotes."""
        return self.message.encode("utf-8", "replace").decode()

    def openai_error(self) -> dict[str, object]:
        """Give the inner object of an OpenAI error body."""
        kind = self.type or OPENAI_TYPES.get(self.status, "invalid_request_error")
        if self.type is None and self.code == _QUOTA:
            kind = _QUOTA
        return {"message": self._readable, "type": kind, "param": self.param, "code": self.code}

    def anthropic_body(self, request_id: str | None) -> dict[str, object]:
        """Give the whole Anthropic error body."""
        kind = self.type or ANTHROPIC_TYPES.get(self.status, "api_error")
        error: dict[str, object] = {"type": kind, "message": self._readable}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


class RefusedError(Exception):
    """A request the vendor would refuse; carries the error it answers with."""

    def __init__(self, error: VendorError) -> None:
        super().__init__(error.message)
        self.error = error


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> RefusedError:
    """Make the 400 for an invalid request."""
    return RefusedError(VendorError(status=400, message=message, param=param, code=code))


def not_found(message: str) -> RefusedError:
    """Make the 404 for something that does not exist."""
    return RefusedError(VendorError(status=404, message=message))
