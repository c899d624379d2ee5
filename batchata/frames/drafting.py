"""A first draft of a prompt, written by a model."""

from __future__ import annotations

import sys
from typing import Final

from batchata.batch import Batch
from batchata.core.errors import ValidationError
from batchata.frames.asking import make_asking

_BRIEF: Final = """\
You write instructions for a model that reads many short texts and extracts data from each.
It gets a JSON list of objects with "input_id" and "input_text", and must answer with one JSON
object {"all_results": [...]} that holds exactly one object for each input, with its "input_id"
copied unchanged. Write the instructions for the goal below: the fields of each object with their
types and allowed values, how to decide doubtful cases, what to write when a text does not say it,
and one short example of an answer. Give the instructions only."""
_MOST_TOKENS: Final = 2048


def draft_prompt(
    goal: str,
    *,
    backend: str = "openai",
    model: str = "gpt-4.1-mini",
    api_key: str | None = None,
    base_url: str | None = None,
    print_prompt: bool = True,
) -> str:
    """A prompt for `extract_df`, drafted from a goal in plain words; read it before use.

    Raises ValidationError when the model writes none.
    """
    asking = make_asking(prompt=_BRIEF, model=model, backend=backend, schema=None)
    batch = Batch(raw_files=False).set_route("live").set_prices(allow_unpriced=True)
    if api_key or base_url:
        batch.set_provider(asking.provider, api_key=api_key, base_url=base_url)
    batch.add_job(
        messages=[{"role": "user", "content": f"Goal: {goal}"}],
        model=f"{asking.provider}:{asking.model}",
        temperature=asking.temperature,
        max_tokens=_MOST_TOKENS,
        system=_BRIEF,
    )
    result = next(batch.run().results().iter_all())
    text = _bare(result.raw_response or "")
    if not result.is_success or not text:
        raise ValidationError(
            f"no prompt was written: {result.error or 'the answer is empty'}",
            hint="try another model, or write the prompt yourself",
        )
    if print_prompt:
        sys.stdout.write(text + "\n")
    return text


def _bare(text: str) -> str:
    """The text without a code fence around all of it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text.partition("\n")[2].removesuffix("```").strip()
    return text
