"""The `breakeven` command; one thin function per verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.errors import BreakevenError, ConfigError

app = typer.Typer(
    name="breakeven",
    help="A cost-and-quality routing gateway: a distilled student, its teacher, and the money that saves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.", show_default=True)
]
_DEFAULT_CONFIG = Path("breakeven.yaml")


@app.command()
def serve(
    config: ConfigPath = _DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Overrides server.port.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the gateway."""
    from gateway import log, server
    from gateway.app import create_app
    from gateway.checks import open_services

    log.configure(log_level)
    settings = _load(config, host, port)
    listener = server.bind(settings)
    artifact, ledger = open_services(settings)
    address, bound = listener.getsockname()[:2]
    Console(stderr=True).print(f"breakeven listens on http://{address}:{bound}", highlight=False)
    raise typer.Exit(server.serve(create_app(settings, artifact, ledger), settings, listener))


@app.command()
def check(config: ConfigPath = _DEFAULT_CONFIG) -> None:
    """Validate the config and print the effective one, without secrets. Exits 2 on an error."""
    import yaml

    from gateway.checks import check_services

    settings = _load(config, None, None)
    check_services(settings)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)


def _load(path: Path, host: str | None, port: int | None):  # type: ignore[no-untyped-def]
    from gateway.config import check_environment, load_config

    config = load_config(path)
    changes = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    if changes:
        config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    check_environment(config)
    return config


def main() -> None:
    """The entry point: our own errors are one line each and exit code 2."""
    try:
        app()
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(f"breakeven: {fault}", err=True)
        raise SystemExit(2) from None
    except (BreakevenError, ValueError) as error:
        typer.echo(f"breakeven: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
