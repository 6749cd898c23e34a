"""The commands that start a server, `serve` and `student`, and `check`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from breakeven.gateway.cli.options import DEFAULT_CONFIG, ConfigPath, load
from breakeven.router.masking import masked

if TYPE_CHECKING:
    from breakeven.gateway.config.schema import Config


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Overrides server.port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Overrides server.workers.")] = None,
    log_level: Annotated[str, typer.Option(help="Lowest level to log: debug, info, warning or error.")] = "info",
) -> None:
    """Run the gateway."""
    from breakeven.gateway.observability import log
    from breakeven.gateway.server import run
    from breakeven.gateway.server.app import create_app
    from breakeven.gateway.server.signals import hold_reloads
    from breakeven.gateway.server.startup import claim_journal, open_services
    from breakeven.gateway.server.watched_files import WatchedFiles
    from breakeven.gateway.server.workers import Supervisor
    from breakeven.router.features import kernel

    hold_reloads()
    log.configure(log_level)
    files = WatchedFiles()
    read = partial(load, config, host, port, workers, files.read)
    settings = read()
    listener = run.bind(settings)
    if claim_journal(settings):
        settings = read()
    artifact, ledger = open_services(settings)
    address, bound = listener.getsockname()[:2]
    say = partial(Console(stderr=True, soft_wrap=True).print, highlight=False)
    if not kernel.COMPILED:
        say(
            "breakeven: compiled routing kernel missing, decisions are about 5x slower; "
            "install a C compiler and reinstall"
        )
    for sentence in settings.sources_of_prices():
        say(f"breakeven: {sentence[0].lower()}{sentence[1:].removesuffix('.')}")
    say(f"breakeven listens on http://{address}:{bound} (console: /console, documentation of the API: /docs)")
    if settings.server.workers > 1:
        ledger.close()
        raise typer.Exit(Supervisor(settings, config.resolve(), log_level, listener).run())
    raise typer.Exit(run.serve(create_app(settings, artifact, ledger, read, config, files), settings, listener))


def check(
    config: ConfigPath = DEFAULT_CONFIG,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Ask each upstream instead of printing: is it there, does it take the key, serve the model, answer "
            "one token, accept tools, and how large is its context window. Costs two short requests each. Exits with "
            "code 1 on a failure.",
        ),
    ] = False,
) -> None:
    """Validate the config and print it with all defaults, without secrets. Exits with code 2 on an error.

    Whether the port is free is not checked, since a gateway may be running on it.
    """
    import yaml

    from breakeven.gateway.server import run
    from breakeven.gateway.server.startup import check_services

    settings = load(config)
    run.check_address(settings)
    check_services(settings)
    if not live:
        for sentence in settings.sources_of_prices():
            typer.echo(f"# {sentence}")
        # A client key is a line of JSON, which YAML reads: as YAML 100,000 take 20 s.
        found = _effective(settings)
        keys, found["auth"]["keys"] = found["auth"]["keys"], []
        text = yaml.safe_dump(found, sort_keys=False)
        if keys:
            lines = "".join(f"  - {json.dumps(key, ensure_ascii=False)}\n" for key in keys)
            text = text.replace("\n  keys: []\n", f"\n  keys:\n{lines}", 1)
        typer.echo(text, nl=False)
        return
    from breakeven.gateway.server.live_check import check_upstreams
    from breakeven.gateway.server.live_check_models import check_models

    findings = [*check_upstreams(settings), *check_models(settings)]
    for finding in findings:
        typer.echo(str(finding))
    if any(finding.level == "FAIL" for finding in findings):
        raise typer.Exit(1)


def _effective(settings: Config) -> dict[str, Any]:
    """The config as it is in force: with the prices that were looked up, and not where."""
    looked_up = ("prices_file", "prices_package", "prices_provider", "prices_model")
    given = settings.model_dump(mode="json")
    # These hold no URL.
    keys, given["auth"]["keys"] = given["auth"]["keys"], []
    found: dict[str, Any] = _masked(given)
    found["auth"]["keys"] = keys[: settings.auth._own_keys]
    for section in (found["teacher"], *found["teacher"]["fallbacks"], *found["models"]):
        for key in looked_up:
            del section[key]
    return found


def _masked(value: Any) -> Any:
    """The value with the passwords of all URLs in it hidden."""
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return masked(value) if isinstance(value, str) else value


def student(
    model: Annotated[str, typer.Option(help="Directory of the student model, or its name on the Hugging Face hub.")],
    cpu: Annotated[bool, typer.Option("--cpu", help="Use vLLM flags for a machine without a GPU.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    name: Annotated[str, typer.Option(help="Model name to serve it under.")] = "my-student",
    max_model_len: Annotated[
        int | None, typer.Option(min=1, help="Context window in tokens; default: the model's.")
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(envvar="BREAKEVEN_VLLM_PYTHON", help="Python interpreter with vLLM installed; default: this one."),
    ] = None,
    enable_thinking: Annotated[
        bool | None,
        typer.Option(
            "--enable-thinking/--no-enable-thinking",
            help="What the chat template gets where a request does not say it; default: how the student was trained.",
        ),
    ] = None,
    vllm_flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLAGS]", help="After --: flags that are passed to vLLM.")
    ] = None,
) -> None:
    """Start vLLM with the flags that the gateway needs, and print the `student` section for the config."""
    from breakeven.models.serving.run_student import run_student

    code = run_student(
        model,
        cpu=cpu,
        host=host,
        port=port,
        name=name,
        max_model_len=max_model_len,
        python=python,
        say=typer.echo,
        enable_thinking=enable_thinking,
        extra=vllm_flags or (),
    )
    raise typer.Exit(code)
