"""``ostinato emulate azure``."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.mending import mendable, needing
from ostinato.cli.outcome import ExitCode, UsageError, stopped_by_sigterm

emulate = typer.Typer(help="Run a function app on a stand-in of its cloud.", no_args_is_help=True)

OF_EXTRA = {"azure", "durabletask", "google", "grpc", "starlette", "uvicorn"}
"""What this needs that `ostinato` alone does not bring."""


@emulate.callback()
def _group() -> None:
    """Keeps the cloud a word of its own while there is but one."""


@emulate.command("azure")
def emulate_azure(
    source: Annotated[
        Path, typer.Argument(help="The function app: its folder, or the zip file of one.")
    ] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for one that is free.")] = 7071,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="AzureWebJobsStorage",
            show_envvar=False,
            help="Connection string of the storage account; by default that of the app's"
            " local.settings.json.",
        ),
    ] = None,
    azurite: Annotated[
        bool,
        typer.Option(
            "--azurite/--no-azurite", help="Start an Azurite for an app without storage, if found."
        ),
    ] = True,
    python: Annotated[
        Path | None,
        typer.Option(help="Interpreter of the functions; it has azure-functions-runtime."),
    ] = None,
) -> None:
    """Run an Azure function app here: HTTP, queue, blob and timer triggers, durable functions.

    The functions run in Microsoft's own worker library where Python has it (3.13 and newer).
    The host and the Durable extension are stood in for; everything is kept in memory. Ctrl-C ends.

    Exit codes: 0 ended, 2 usage.
    """
    with mendable(), needing("azure-emulator", OF_EXTRA):
        _emulate(source, port, storage, azurite, python)


def _emulate(
    source: Path, port: int, storage: str | None, azurite: bool, python: Path | None
) -> None:
    from ostinato.testing.azure.azurite import AzuriteMissingError
    from ostinato.testing.azure.emulator import Emulator
    from ostinato.testing.azure.host_settings import SettingsError
    from ostinato.testing.azure.http_server import PortInUseError
    from ostinato.testing.azure.worker import IndexingFailed

    if python is not None and not python.is_file():
        raise UsageError(f"there is no interpreter {python}")
    try:
        with (
            suppress(KeyboardInterrupt),
            stopped_by_sigterm(),
            Emulator(
                source,
                port=port,
                storage=storage,
                use_azurite=azurite,
                python=python,
                log=typer.echo,
            ) as emulator,
        ):
            for line in emulator.lines():
                typer.echo(line)
            typer.echo("press Ctrl-C to end")
            threading.Event().wait()
    except PortInUseError as error:
        raise UsageError(
            f"{error}\nhint: --port names another, --port 0 takes a free one"
        ) from None
    except (AzuriteMissingError, IndexingFailed, SettingsError) as error:
        raise UsageError(str(error)) from None
    raise typer.Exit(ExitCode.COMPLETED)
