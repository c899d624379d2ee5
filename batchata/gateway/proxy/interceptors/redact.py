"""`redact`: removes keys and matches of your patterns from requests before anybody sees them."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Reject, Replace
from batchata.gateway.wire.objects import with_texts

#: where a word begins and ends: in scripts without spaces a key may follow a letter
_BEGIN: Final = "(?<![0-9A-Za-z])"
_END: Final = "(?![0-9A-Za-z])"
#: shapes that only secrets have; prose is never touched
PATTERNS: Final = {
    "openai_key": _BEGIN + r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{16,}",
    "anthropic_key": _BEGIN + r"sk-ant-[A-Za-z0-9_-]{12,}",
    "google_key": _BEGIN + r"AIza[0-9A-Za-z_-]{35}" + _END,
    "huggingface_token": _BEGIN + r"hf_[A-Za-z0-9]{30,}",
    "github_token": _BEGIN + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "aws_key_id": _BEGIN + r"(?:AKIA|ASIA)[0-9A-Z]{16}" + _END,
    "slack_token": _BEGIN + r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "private_key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
}
#: from where to where in a text, and what takes its place
Edit = tuple[int, int, str]
_UNREAD: Final = Reject(
    message="the gateway's redact cannot look through this body: it is not a JSON object, or is "
    "larger than inspect_bytes; pass_unread: true lets such bodies through unchanged",
    status=400,
    code="unread_body",
)


class Redact(Interceptor):
    """Replaces matches in all text of a JSON request by `[name]`.

    `patterns` adds regular expressions by name, `known` says which of ours to use (all). A request
    whose body is not a JSON object, or too large for memory, cannot be looked through: it is
    refused, or let through unseen with `pass_unread`.
    """

    name = "redact"
    is_policy = True
    options: ClassVar = {"patterns": {}, "known": tuple(PATTERNS), "pass_unread": False}
    patterns: dict[str, str]  #: regular expressions, by the name that replaces their matches
    known: tuple[str, ...]  #: which of our patterns to use
    pass_unread: bool  #: let bodies through that cannot be looked through; else they are refused

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        unknown = [name for name in self.known if name not in PATTERNS]
        if unknown:
            raise ValidationError(
                f"redact knows no pattern {unknown[0]!r}", hint=f"there are {', '.join(PATTERNS)}"
            )
        # Anthropic's keys look like OpenAI's: the longer shape goes first
        chosen = {name: PATTERNS[name] for name in sorted(self.known)} | self.patterns
        try:
            self._found = [(name, re.compile(pattern)) for name, pattern in chosen.items()]
        except (re.error, TypeError) as error:
            raise ValidationError(
                f"redact: a pattern is not a regular expression: {error}",
                hint='write patterns: {"employee_id": "E-[0-9]{6}"}',
            ) from error

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Replace the body if anything in it matches."""
        if exchange.is_unread and not self.pass_unread:
            return _UNREAD
        if exchange.json is None or exchange.spilled is not None or exchange.body is None:
            return CONTINUE
        cleaned = with_texts(exchange.body, self.cleaned)
        return CONTINUE if cleaned == exchange.body else Replace(body=cleaned)

    def found(self, text: str) -> list[Edit]:
        """The matches in a text and what replaces them, in order."""
        edits: list[Edit] = []
        for name, pattern in self._found:
            for match in pattern.finditer(text):
                start, end = match.span()
                if all(end <= edit[0] or edit[1] <= start for edit in edits):
                    edits.append((start, end, f"[{name}]"))
        return sorted(edits)

    def cleaned(self, value: Any) -> Any:
        """The value with every match replaced, in keys as in values."""
        if isinstance(value, str):
            for name, pattern in self._found:
                value = pattern.sub(f"[{name}]", value)
            return value
        if isinstance(value, dict):
            return {self.cleaned(key): self.cleaned(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.cleaned(each) for each in value]
        return value
