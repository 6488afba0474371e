"""``ostinato emulate azure``."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ostinato.cli.azure import app_reference
from ostinato.cli.mending import mendable, needing
from ostinato.cli.outcome import ExitCode, UsageError, ended_by_signals

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
            help="Connection string of the storage account; by default that of AzureWebJobsStorage"
            " in the environment, else in the app's local.settings.json.",
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
    replay_always: Annotated[
        bool,
        typer.Option(
            "--replay-always",
            help="Keep no execution between turns: each turn replays its history, as after a"
            " restart, so that what is not deterministic fails here.",
        ),
    ] = False,
) -> None:
    """Run an Azure function app here: HTTP, queue, blob and timer triggers, durable functions.

    The functions run in Microsoft's own worker library where Python has it (3.13 and newer).
    The host and the Durable extension are stood in for; everything is kept in memory. Ctrl-C ends,
    when what runs has ended; a second one ends at once.

    Exit codes: 0 ended, 2 usage.
    """
    with mendable(), needing("azure-emulator", OF_EXTRA):
        _emulate(source, port, storage, azurite, python, replay_always)


def _emulate(
    source: Path,
    port: int,
    storage: str | None,
    azurite: bool,
    python: Path | None,
    replay_always: bool,
) -> None:
    from ostinato.testing.azure.azurite import AzuriteMissingError
    from ostinato.testing.azure.emulator import Emulator
    from ostinato.testing.azure.host_settings import SettingsError
    from ostinato.testing.azure.http_server import PortInUseError
    from ostinato.testing.azure.worker import IndexingFailed

    if python is not None and not python.is_file():
        raise UsageError(f"there is no interpreter {python}")
    host_json = _what_is_missing(source) if source.is_dir() else None
    try:
        with (
            suppress(KeyboardInterrupt),
            ended_by_signals(),
            Emulator(
                source,
                port=port,
                storage=storage,
                use_azurite=azurite,
                host_json=host_json,
                replay_always=replay_always,
                python=python,
                log=_say,
            ) as emulator,
        ):
            if host_json is not None:
                typer.echo("there is no host.json: this is with what `ostinato synth azure` writes")
            for line in emulator.lines():
                typer.echo(line)
            typer.echo("press Ctrl-C to end")
            try:
                threading.Event().wait()
            finally:
                _say("ending; what runs is waited for, unless you press Ctrl-C again")
    except PortInUseError as error:
        raise UsageError(
            f"{error}\nhint: --port names another, --port 0 takes a free one"
        ) from None
    except (AzuriteMissingError, IndexingFailed, SettingsError) as error:
        raise UsageError(str(error)) from None
    raise typer.Exit(ExitCode.COMPLETED)


def _say(line: str) -> None:
    """Show a line of what runs, which goes on where the screen is gone or lacks its characters."""
    with suppress(OSError, ValueError):
        typer.echo(line)


def _what_is_missing(folder: Path) -> str | None:
    """The text of the host.json that a folder has not; None where it has one.

    Raises:
        UsageError: The folder has no function_app.py, or no application to write a host.json for.
        PackagingError: What pyproject.toml says of host.json makes none.
    """
    from ostinato_azure.packaging.build import function_app_py
    from ostinato_azure.packaging.host_json import host_json
    from ostinato_azure.packaging.settings import read_settings, read_table

    absent = next((n for n in ("function_app.py", "host.json") if not (folder / n).is_file()), None)
    if absent is None:
        return None
    settings = read_settings(folder)
    try:
        found = app_reference(None, folder.resolve())
    except UsageError as error:
        if error.__cause__ is not None:  # a mistake in the application, which is to be mended first
            raise
        why = str(error).partition("\nhint:")[0]
        hint = 'name the application in pyproject.toml: [tool.ostinato] app = "module:attribute"'
        is_named = "app" in read_table(folder, "tool", "ostinato")
        raise UsageError(
            f"there is no {absent} in {folder.resolve()}, and none can be written: {why}"
            + ("" if is_named else f"\nhint: {hint}")
        ) from None
    if absent == "function_app.py":
        raise UsageError(
            f"there is no function_app.py in {folder.resolve()}\n"
            "hint: write one, as `ostinato build azure` does into its package:\n\n"
            f"{function_app_py(found, grpc=settings.grpc)}"
        )
    return host_json(found.app, settings)
