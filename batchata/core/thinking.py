"""What a model thought, told apart from what it answered. Pure."""

from __future__ import annotations

from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


def split_thinking(text: str) -> tuple[str, str | None]:
    """An answer without the thoughts in front of it, and the thoughts.

    `<think>…</think>` at the start is taken out. Without the closing tag all of it is thoughts:
    the model was cut off. Without the opening one, which some chat templates write themselves,
    thoughts are what comes before the closing one.
    """
    if _CLOSE not in text and _OPEN not in text:
        return text, None
    bare = text.lstrip()
    is_opened = bare.startswith(_OPEN)
    if is_opened:
        bare = bare[len(_OPEN) :]
    thoughts, closed, answer = bare.partition(_CLOSE)
    if closed and (is_opened or _OPEN not in thoughts):
        return answer.lstrip(), thoughts.strip() or None
    if is_opened and not closed:
        return "", thoughts.strip() or None
    return text, None
