"""The commands and their options."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

import ostinato as ost
from ostinato.cli import azure, display, emulate, steering
from ostinato.cli.discovery import app_at_hand, find_app, orchestration_names
from ostinato.cli.inputs import TagOption, confirmed, read_input, read_tags
from ostinato.cli.mending import mendable
from ostinato.cli.outcome import ExitCode, UsageError, similar
from ostinato.cli.printing import print_json
from ostinato.cli.running import Result, Run, run
from ostinato.cli.targets import (
    LocalTarget,
    StoreOption,
    TargetName,
    TargetOption,
    UrlOption,
    chosen_target,
)
from ostinato.cli.waiting import shortened
from ostinato.client import IfExists

cli = typer.Typer(
    help="Durable orchestrations: run them, here or on a cloud, and see what they did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MAX_WAITS = 3
"""How many of the things that an instance waits for are named."""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"ostinato {ost.__version__}")
        raise typer.Exit


@cli.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that go with no command."""


@cli.command("run")
def run_command(
    orchestration: Annotated[str, typer.Argument(help="Its registered name.")],
    input: Annotated[str | None, typer.Option(help="JSON, @file, or - for standard input.")] = None,
    app: Annotated[
        str | None, typer.Option(help="module:attribute; by default the folder's own.")
    ] = None,
    target: TargetOption = "local",
    store: StoreOption = None,
    url: UrlOption = None,
    id: Annotated[
        str | None, typer.Option(help="Instance id; an unfinished instance is continued.")
    ] = None,
    tag: TagOption = None,
    if_exists: Annotated[
        IfExists,
        typer.Option(
            help="For a finished instance: give its outcome (attach), or run it again"
            " (replace_finished), with its own input unless another is given."
        ),
    ] = "attach",
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait; the rest is for the next run.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, warnings only.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole outcome as one JSON object.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="azure: run even what the application at hand does not know."
        ),
    ] = False,
) -> None:
    """Run an orchestration to its end and print its output as JSON.

    Kill it at any moment: the same --id goes on where it stopped. On --target azure the instance
    runs in the deployed app, and goes on there when this command is stopped.

    Exit codes: 0 completed, 1 failed, 2 usage, 3 terminated, 4 timeout,
    130 interrupted (Ctrl-C), 143 stopped (SIGTERM).
    """
    console = Console(stderr=True)
    with mendable():
        chosen = chosen_target(target, store, url)
        request = Run(
            app=_app(app, target, orchestration, console, yes=yes),
            orchestration=orchestration,
            input=read_input(input),
            target=chosen,
            instance_id=id,
            tags=read_tags(tag),
            if_exists=if_exists,
            timeout=timeout,
        )
        with redirect_stdout(sys.stderr):  # what the user's code prints is no output
            run_it = run_quietly if quiet or as_json else run_live
            result = run_it(request, console)
        _report(result, request, app, console, as_json=as_json)
    raise typer.Exit(result.code)


def _app(
    named: str | None, target: TargetName, orchestration: str, console: Console, *, yes: bool
) -> ost.App | None:
    """The application to run; or to check by, where a deployed one runs and one is at hand.

    Raises:
        UsageError: The application has no such orchestration, and the user is not sure.
    """
    if target == "local" or named is not None:
        return find_app(named, Path.cwd())
    found = app_at_hand(Path.cwd())
    if found is None:
        return None
    names = list(orchestration_names(found))
    if orchestration in names:
        return found
    display.warn(
        console,
        f"warning: the application at hand has no orchestration {orchestration!r}"
        f"{similar(orchestration, names)}",
    )
    if not (yes or confirmed("The app would fail an instance that it does not know. Run it?")):
        raise UsageError("nothing was started")
    return None


def run_quietly(request: Run, console: Console) -> Result:
    """Run and show nothing but warnings, on ``console``."""
    return run(request, display.Quiet(console))


def run_live(request: Run, console: Console) -> Result:
    """Run and show the activities' progress on ``console``."""
    with display.Live(console) as live:
        return run(request, live)


def _report(
    result: Result, request: Run, app: str | None, console: Console, *, as_json: bool
) -> None:
    if as_json:
        print_json(_as_object(result))
        return
    match result.code:
        case ExitCode.COMPLETED:
            print_json(result.status.output if result.status else None)
        case ExitCode.FAILED if result.status:
            console.print(display.failed(result.status))
        case ExitCode.TERMINATED if result.status:
            console.print(f"{result.instance_id} was terminated", style="yellow", markup=False)
        case _ if result.instance_id:
            why = "not finished in time" if result.code is ExitCode.TIMEOUT else "interrupted"
            console.print(
                f"{why}{_obstacle(result)}; {how_to_continue(result.instance_id, request, app)}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        case _:
            console.print("interrupted before it began", style="yellow")


def _obstacle(result: Result) -> str:
    """Why nothing can be written, or what the instance waits for, as part of a sentence."""
    if result.trouble is not None:
        return f": {result.trouble}"
    if not result.waits_for:
        return ""
    return f"; it waits for {', '.join(shortened(result.waits_for, MAX_WAITS))}"


def how_to_continue(instance_id: str, request: Run, app: str | None) -> str:
    """Return what becomes of an unfinished instance, and the command to go on with."""
    import shlex

    if isinstance(request.target, LocalTarget):
        words = ["run", request.orchestration, "--id", instance_id, *request.target.words]
        words += ["--app", app] if app else []
        fate = "nothing is lost, continue with"
    else:
        words = ["status", instance_id, *request.target.words]
        fate = f"{instance_id} goes on in the app, look at it with"
    return f"{fate}:\n  {shlex.join(['ostinato', *words])}"


def _as_object(result: Result) -> dict[str, Any]:
    status = result.status
    return {
        "instance_id": result.instance_id,
        "exit_code": int(result.code),
        "runtime_status": status.runtime_status if status else None,
        "output": status.output if status else None,
        "waits_for": list(result.waits_for),
        "trouble": str(result.trouble) if result.trouble else None,
        "failure": msgspec.to_builtins(status.failure) if status else None,
    }


cli.add_typer(steering.verbs)
cli.add_typer(azure.build, name="build")
cli.add_typer(azure.synth, name="synth")
cli.add_typer(azure.deploy, name="deploy")
cli.add_typer(emulate.emulate, name="emulate")
