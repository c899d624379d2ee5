"""`batchata proxy`: a gateway that sees, limits, records and replays every call."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchata.cli import proxy_options as options
from batchata.cli.help_text import HelpCommand, HelpGroup
from batchata.cli.output import print_json, say, stdout
from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    from batchata.gateway.proxy.config.model import GatewayConfig

_NOBODY = "http://127.0.0.1:9"  #: the upstream of recordings
_OWNER_ONLY = 0o077  #: what others may not do with the files that are written
proxy = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    help="A gateway on this machine that sees, limits, records and replays every call.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@proxy.command(cls=HelpCommand)
def run(
    base_url: options.BaseURL = None,
    type: options.Type = None,  # noqa: A002
    api_key: options.ApiKey = None,
    outbound_proxy: options.OutboundProxy = None,
    config: options.Config = None,
    host: options.Host = None,
    port: options.Port = None,
    log_level: options.LogLevel = None,
    client_token: options.ClientToken = None,
    limit_usd: options.LimitUsd = None,
    per: options.Per = None,
    state: options.State = None,
    flex: options.Flex = False,
    record: options.Record = None,
    replay: options.Replay = None,
    strict: options.Strict = None,
    timing: options.Timing = False,
    batches: options.Batches = None,
    to_batch: options.ToBatch = None,
    held: options.Held = None,
    as_json: options.AsJson = False,
) -> None:
    """Serve until Ctrl-C. Point your client's base URL here; nothing else changes.

    Flags go over the file, the file over BATCHATA_PROXY_... variables.

    Example: [bold]batchata proxy run --base-url https://api.openai.com --limit-usd 5[/bold]

    With a file: [bold]batchata proxy run --config gateway.yaml[/bold]
    """
    flags = {
        ("llm", "base_url"): base_url,
        ("llm", "type"): type and type.value,
        ("llm", "api_key"): api_key,
        ("llm", "outbound_proxy"): outbound_proxy,
        ("server", "host"): host,
        ("server", "port"): port,
        ("server", "client_token"): client_token,
        ("logging", "level"): log_level and log_level.value,
        ("batches", "directory"): batches,
        ("to_batch", "window"): to_batch,
        ("to_batch", "directory"): held,
    }
    miss = None if strict is None else "strict" if strict else "fallthrough"
    added = [
        *_tape(record, replay, miss, timing=timing),
        *([{"type": "flex"}] if flex else ()),
        *_named("budget", limit_usd=limit_usd, per=per and per.value, state=state and str(state)),
    ]
    if config is None:  # else they go over what it says
        _check_lonely(added)
        if held is not None and to_batch is None:
            raise ValidationError(
                "--held belongs to calls that wait for batches", hint="write --to-batch 1h too"
            )
    from batchata.gateway.proxy.config.loading import load_config, unused_variables

    found = load_config(config, flags, interceptors=added)
    for name in unused_variables(found):
        say(f"{name} is not used: the file has upstreams; write ${{{name}}} at the one it is for")
    if flex and not any((each.provider or each.type) == "openai" for each in found.sections):
        raise ValidationError(
            "--flex is a tier of OpenAI, and no upstream is OpenAI's",
            hint="leave it out, or write --base-url https://api.openai.com",
        )
    if api_key is not None:
        say("--api-key is seen by everybody on this machine: set BATCHATA_PROXY_API_KEY instead")
    if outbound_proxy is not None and "@" in outbound_proxy:
        say("a password in --outbound-proxy is seen too: set BATCHATA_PROXY_OUTBOUND_PROXY instead")
    _serve(found, as_json=as_json)


@proxy.command("validate-config", cls=HelpCommand)
def validate_config(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML file.", dir_okay=False, exists=True)
    ],
) -> None:
    """Check a configuration file: every wrong key, interceptor and option is named.

    Nothing is opened and nobody is asked; `${NAME}` must be set as for a run.

    Example: [bold]batchata proxy validate-config gateway.yaml[/bold]
    """
    from batchata.gateway.proxy.config.loading import load_config
    from batchata.gateway.proxy.config.options import all_of
    from batchata.gateway.proxy.config.registry import make_interceptor

    found = load_config(file)
    all_of(partial(make_interceptor, each.type, each.config) for each in found.interceptors)
    names = ", ".join(each.type for each in found.interceptors if each.enabled) or "no interceptors"
    upstreams = ", ".join(each.base_url for each in found.sections)
    stdout().print(f"{file} is valid: {upstreams}; {names}", markup=False, soft_wrap=True)


@proxy.command("generate-config", cls=HelpCommand)
def generate_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist.")],
    base_url: options.BaseURL = None,
    type: options.Type = None,  # noqa: A002
) -> None:
    """Write a configuration file that works, with every key explained.

    Example: [bold]batchata proxy generate-config gateway.yaml[/bold]
    """
    from batchata.gateway.proxy.config.loading import checked
    from batchata.gateway.proxy.config.sample import sample

    address = base_url or f"https://api.{(type or options.VendorType.openai).value}.com"
    given = {"base_url": address} | ({"type": type.value} if type else {})
    [upstream] = checked({"llm": given}).sections
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ValidationError(
            f"{file} is there already and was left as it is", hint="name another file"
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(sample(str(file), base_url=address, vendor=upstream.type))
    stdout().print(f"wrote {file}", markup=False, soft_wrap=True)


@proxy.command("replay", cls=HelpCommand)
def replay_folder(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Recordings, or results of a batch run.")
    ],
    host: options.Host = None,
    port: options.Port = None,
    repeat: Annotated[
        bool,
        typer.Option(
            "--repeat", help="Repeat the last recorded answer when the same is asked once more."
        ),
    ] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Keep the recorded pace.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Serve recordings without any vendor behind.

    Example: [bold]batchata proxy replay cassettes[/bold]
    """
    from batchata.gateway.proxy.config.loading import load_config

    flags = {
        # nobody is asked: what is not recorded is refused
        ("llm", "base_url"): _NOBODY,
        ("server", "host"): host,
        ("server", "port"): port,
    }
    found = load_config(
        None,
        flags,
        interceptors=_tape(None, folder, "repeat" if repeat else "strict", timing=timing),
    )
    _serve(found, as_json=as_json)


def _tape(
    record: Path | None, replay: Path | None, miss: str | None, *, timing: bool
) -> list[dict[str, Any]]:
    return [
        *_named("record", directory=record and str(record)),
        *_named("replay", directory=replay and str(replay), miss=miss, timing=timing or None),
    ]


def _named(type: str, **options: Any) -> list[dict[str, Any]]:  # noqa: A002
    """An interceptor with the options that were given; none without any."""
    given = {name: value for name, value in options.items() if value is not None}
    return [{"type": type, "config": given}] if given else []


def _check_lonely(added: list[dict[str, Any]]) -> None:
    """Raise for flags that say nothing by themselves."""
    given = {each["type"]: each.get("config", {}) for each in added}
    if "limit_usd" not in given.get("budget", {"limit_usd": 0}):
        raise ValidationError("--per and --state belong to a limit", hint="write --limit-usd 5 too")
    if "directory" not in given.get("replay", {"directory": ""}):
        raise ValidationError(
            "--strict, --fallthrough and --timing belong to recordings",
            hint="write --replay DIR too",
        )


def _serve(config: GatewayConfig, *, as_json: bool) -> None:
    import asyncio
    import logging
    import sys

    from batchata.gateway.loops import new_event_loop
    from batchata.gateway.proxy.clean_logs import CleanFormatter, secrets
    from batchata.gateway.proxy.server import serve

    for name in ("httpx", "httpx2"):  # the vendors' SDKs: a line for each look at a batch
        logging.getLogger(name).setLevel(logging.WARNING)
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(message)s", secrets(config)))
    logging.basicConfig(level=config.logging.level.upper(), handlers=[to_stderr])

    def tell(listening: str) -> None:
        url = _reachable(listening)
        if as_json:
            print_json({"openai_base_url": f"{url}/v1", "anthropic_base_url": url})
        else:
            stdout().print(_welcome(url, config), markup=False, soft_wrap=True)

    before = os.umask(_OWNER_ONLY)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve(config, on_ready=tell))
    except asyncio.CancelledError:  # a second Ctrl-C, or one before it was up
        raise KeyboardInterrupt from None
    finally:
        os.umask(before)


def _reachable(url: str) -> str:
    """Where this machine's programs find a gateway that listens on every address."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _welcome(url: str, config: GatewayConfig) -> str:
    upstreams = ", ".join(
        (f"{each.prefix} → " if each.prefix else "")
        + ("recordings" if each.base_url == _NOBODY else each.base_url)
        for each in config.sections
    )
    names = ", ".join(each.type for each in config.interceptors if each.enabled) or "none"
    batches = f"\n  batches        {config.batches.directory}" if config.batches else ""
    if config.to_batch is not None:
        batches += f"\n  to batch       {config.to_batch.window}, {config.to_batch.directory}"
    token = " with the client token as their key" if config.server.client_token else ""
    where = "" if config.server.is_loopback else f"\n  listens on     {config.server.host}"
    return f"""\
Gateway on {url} for {upstreams}. Ctrl-C ends it.

  interceptors   {names}{batches}{where}
  health         {url}/health
  metrics        {url}/metrics

Use it from another shell{token}:

{_exports(url, config)}
"""


def _exports(url: str, config: GatewayConfig) -> str:
    """How clients of each vendor find the upstream that answers them."""
    found: dict[str, str] = {}
    # vLLM and others answer Anthropic's protocol too, but OpenAI does not
    for each in sorted(config.sections, key=lambda each: each.type != "anthropic"):
        if each.type == "openai":
            found.setdefault("OPENAI_BASE_URL", f"{url}{each.prefix}/v1")
        if each.base_url != "https://api.openai.com":
            found.setdefault("ANTHROPIC_BASE_URL", url + each.prefix)
    return "\n".join(
        f"  export {name}={address}" for name, address in sorted(found.items(), reverse=True)
    )
