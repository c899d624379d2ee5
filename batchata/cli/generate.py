"""`batchata generate -c config.yaml`: a table of prompts in, the same table with answers out."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

from batchata.cli import batch_file
from batchata.cli import generate_options as options
from batchata.cli.options import Json
from batchata.cli.output import OK, SOME_FAILED, print_json, say
from batchata.cli.run import is_person_there
from batchata.core.errors import ConfigChangedError, ValidationError

if TYPE_CHECKING:
    from batchata.generate import Config, Summary

Flags = dict[tuple[str, str], Any]


def generate(
    context: typer.Context,
    config: options.Config = None,
    input_path: options.Input = None,
    output_path: options.Output = None,
    input_column: options.InputColumn = None,
    output_column: options.OutputColumn = None,
    prompt_template: options.PromptTemplate = None,
    copy_columns: options.CopyColumns = None,
    filter_condition: options.FilterCondition = None,
    limit: options.Limit = None,
    shuffle: options.Shuffle = None,
    shuffle_seed: options.ShuffleSeed = None,
    url: options.ModelUrl = None,
    port: options.Port = None,
    name: options.Model = None,
    provider: options.Provider = None,
    endpoint: options.WhichEndpoint = None,
    concurrency: options.Concurrency = None,
    num_samples: options.Samples = None,
    one_request: options.OneRequest = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    max_tokens: options.MaxTokens = None,
    stop_sequences: options.StopSequences = None,
    seed: options.Seed = None,
    presence_penalty: options.Penalty = None,
    frequency_penalty: options.Penalty = None,
    enable_thinking: options.Thinking = None,
    system_prompt: options.SystemPrompt = None,
    response_schema: options.ResponseSchema = None,
    extra_body: options.ExtraBody = None,
    split_id: options.SplitId = None,
    num_splits: options.NumSplits = None,
    workers: options.Workers = None,
    engine: options.WhichEngine = None,
    rows_per_part: options.RowsPerPart = None,
    limit_usd: options.LimitUsd = None,
    timeout: options.Timeout = None,
    max_retries: options.MaxRetries = None,
    retry_delay: options.RetryDelay = None,
    others: options.Set = None,
    level: options.LogLevel = None,
    file: options.LogFile = None,
    more_stops: options.MoreStops = None,
    from_batch_file: batch_file.From = None,
    to_batch_file: batch_file.To = None,
    save_config: options.SaveConfig = None,
    dry_run: options.DryRun = False,
    fresh: options.Fresh = False,
    progress_bar: options.Bar = True,
    as_json: Json = False,
) -> None:
    """Ask a model about each row of a table and write the table with its answers.

    The model is behind one server or several that speak OpenAI's protocol, as vLLM does.
    The same command again goes on where it was stopped.

    Flags win over the file, the file over the environment (BATCHATA_MODEL_URL and so on).

    Example: [bold]batchata generate -c config.yaml --limit 100 --dry-run[/bold]
    """
    from batchata.generate import load_config
    from batchata.generate.loading import to_yaml

    if batch_file.is_asked(from_batch_file, to_batch_file):
        flags = flags_of(context.params)
        batch_file.generate_file(config, flags, from_batch_file, to_batch_file, as_json=as_json)
        return
    made = load_config(config, flags_of(context.params))
    if save_config is not None:
        save_config.write_text(to_yaml(made), encoding="utf-8")
        say(f"config written to {save_config}")
    if dry_run:
        show_preview(made, as_json=as_json)
        return
    summary = _run(made, is_fresh=fresh, is_shown=progress_bar and not as_json)
    _report(summary, as_json=as_json)


def flags_of(given: dict[str, Any]) -> Flags:
    """The flags that were given, by section and key; the parameters have the keys' own names."""
    from batchata.generate.loading import sections

    values = {name: _plain(value) for name, value in given.items() if value not in (None, [], ())}
    _spell_out(values)
    found = {
        (section, key): values[key]
        for section, kind in sections()
        for key in kind.model_fields
        if key in values
    }
    return {**found, **dict(_other(each) for each in values.get("others", ()))}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _spell_out(values: dict[str, Any]) -> None:
    """What flags say in fewer words than the config."""
    stops = [*values.get("stop_sequences", ()), *values.pop("more_stops", ())]
    if stops and "stop_sequences" not in values:
        raise typer.BadParameter(f"unexpected {stops[0]!r}")
    if stops:
        values["stop_sequences"] = stops
    ports = [f"http://localhost:{port}/v1" for port in values.pop("port", ())]
    if ports:
        values["url"] = [*values.get("url", ()), *ports]
    if len(values.get("temperature", ())) == 1:
        values["temperature"] = values["temperature"][0]
    if "extra_body" in values:
        values["extra_body"] = _value(values["extra_body"], "--extra-body")


def _other(said: str) -> tuple[tuple[str, str], Any]:
    place, equals, value = said.partition("=")
    section, dot, key = place.strip().partition(".")
    if not equals or not dot:
        raise ValidationError(
            f"--set {said!r} is no SECTION.KEY=VALUE", hint="write --set retry.backoff_factor=3"
        )
    return (section, key), _value(value, f"--set {place}")


def _value(text: str, flag: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValidationError(
            f"{flag} cannot be read: {error}", hint="""write as --extra-body '{"top_a": 0.3}'"""
        ) from error


def show_preview(config: Config, *, as_json: bool, counts_all: bool = False) -> None:
    """Print what a generation would send; with `counts_all` how much it is, and may cost."""
    from batchata.cli.generate_display import preview_lines
    from batchata.generate import GenerationPipeline

    found = GenerationPipeline(config).preview(counts_all=counts_all)
    if as_json:
        print_json(found.to_dict())
        return
    for line in preview_lines(found):
        typer.echo(line)


def _run(config: Config, *, is_fresh: bool, is_shown: bool) -> Summary:
    try:
        return _shown_run(config, is_fresh=is_fresh, is_shown=is_shown)
    except ConfigChangedError as error:
        if not is_person_there():
            raise
        say(error.message)
        typer.confirm(
            "Begin anew, and keep what there is under another name?", abort=True, err=True
        )
    return _shown_run(config, is_fresh=True, is_shown=is_shown)


def _shown_run(config: Config, *, is_fresh: bool, is_shown: bool) -> Summary:
    from batchata.cli.generate_display import shown
    from batchata.generate import GenerationPipeline
    from batchata.generate.log_file import said_aloud

    try:
        # the log goes through the display: what it says stands above a moving picture
        with shown(is_on=is_shown) as watch, said_aloud(config.logging):
            return GenerationPipeline(config).run(fresh=is_fresh, watch=watch)
    except KeyboardInterrupt:
        say("the same command goes on: nothing that is answered is asked again")
        raise


def _report(summary: Summary, *, as_json: bool) -> None:
    from batchata.cli.generate_display import summary_lines

    if as_json:
        print_json({**summary.to_dict(), "is_new": summary.is_new})
    else:
        for line in summary_lines(summary):
            say(line)
    raise typer.Exit(SOME_FAILED if summary.failed else OK)
