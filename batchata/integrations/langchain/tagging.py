"""A user's own name for a call, which travels among its tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.core.logged import CUSTOM_ID_PREFIX as CUSTOM_ID_PREFIX

_DESCRIPTION_PREFIX: Final = "logger_custom_id_description:"


def with_tags(
    *additional_tags: str,
    custom_id: object = None,
    custom_id_description: str | None = None,
    tags: Iterable[str] | None = None,
    config: Mapping[str, Any] | None = None,
    replace_tags: bool = False,
) -> dict[str, Any]:
    """A config for `invoke` with these tags; `config` is copied and never changed.

    `custom_id` names the call in the log; any value but None is an id, even 0, and replaces the
    one in `config`. With `replace_tags` the tags of `config` are dropped.
    """
    given = dict(config or {})
    before = [] if replace_tags else list(given.get("tags") or ())
    if custom_id is not None:
        before = [tag for tag in before if not _is_about_id(tag)]
    made = [*before, *(tags or ()), *additional_tags]
    for tag in made:
        if not isinstance(tag, str):
            raise ValidationError(f"tag {tag!r} is a {type(tag).__name__}", hint="tags are text")
    if custom_id is not None:
        made.append(f"{CUSTOM_ID_PREFIX}{custom_id}")
        if custom_id_description:
            made.append(f"{_DESCRIPTION_PREFIX}{custom_id_description}")
    return {**given, "tags": list(dict.fromkeys(made))}


def extract_custom_id(tags: Iterable[str] | None) -> str | None:
    """The custom id among tags; None when there is none."""
    for tag in tags or ():
        if isinstance(tag, str) and tag.startswith(CUSTOM_ID_PREFIX):
            return tag[len(CUSTOM_ID_PREFIX) :]
    return None


def _is_about_id(tag: object) -> bool:
    return isinstance(tag, str) and tag.startswith((CUSTOM_ID_PREFIX, _DESCRIPTION_PREFIX))
