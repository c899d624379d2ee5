"""The scripted text of an answer: the same for the same request, and plainly not a model's."""

from hashlib import blake2b
from typing import Final

OPENING: Final = "Scripted sandbox answer, no model"
SENTENCES: Final = (
    "The parcel left the depot on Tuesday.",
    "Rain is expected towards the evening.",
    "Two of the three samples agree.",
    "The invoice was paid in full.",
    "A second look found nothing new.",
    "The bridge opens again in spring.",
    "Most readers preferred the shorter text.",
    "The committee will meet on the ninth.",
    "Sales rose while costs stood still.",
    "The lamp in the hall needs a new bulb.",
    "Nobody disagreed with the plan.",
    "The garden is closed until further notice.",
    "Every item on the list was found.",
    "The train was four minutes late.",
    "It was the colour they remembered best.",
    "The letter arrived without a stamp.",
)


def digest(body: bytes) -> bytes:
    """Give an eight-byte digest of a request's content."""
    return blake2b(body, digest_size=8).digest()


def scripted_text(seed: int) -> str:
    """Write one to four sentences chosen by the seed."""
    count = 1 + (seed & 3)
    chosen = [SENTENCES[(seed >> (2 + 4 * i)) & 15] for i in range(count)]
    return f"{OPENING} ({seed & 0xFFFF:04x}): {' '.join(chosen)}"


def tokens_of(text: str) -> int:
    """Count an answer's tokens: a quarter of its bytes, rounded up."""
    return (_size(text) + 3) // 4


def cut(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """Cut a text to a number of tokens, and say whether that took something away."""
    if max_tokens is None or tokens_of(text) <= max_tokens:
        return text, False
    return text.encode()[: 4 * max_tokens].decode(errors="ignore"), True


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
