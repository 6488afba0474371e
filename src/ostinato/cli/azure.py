"""``ostinato build azure``, ``synth azure`` and ``deploy azure``."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import ostinato as ost
from ostinato.cli.discovery import find_app
from ostinato.cli.inputs import confirmed
from ostinato.cli.mending import mendable, needing
from ostinato.cli.outcome import ExitCode, UsageError, stopped_by_sigterm

if TYPE_CHECKING:
    from ostinato_azure.packaging.build import AppReference
    from ostinato_azure.packaging.deploy import Deployment

build = typer.Typer(help="Make the package that a cloud runs.", no_args_is_help=True)
synth = typer.Typer(help="Write down the infrastructure of a cloud.", no_args_is_help=True)
deploy = typer.Typer(help="Bring the application to a cloud.", no_args_is_help=True)

AppOption = Annotated[
    str | None, typer.Option(help="module:attribute; by default the folder's own.")
]
PythonOption = Annotated[
    str | None,
    typer.Option(help="Of the function app; by default what its parameters say, else 3.13."),
]
PlatformOption = Annotated[
    str, typer.Option(help="Newest platform tag of wheels, e.g. manylinux2014_x86_64.")
]
CacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Resolve the dependencies anew, and keep the new ones.")
]

OF_EXTRAS = {"azure", "google", "httpx", "ostinato_azure", "packaging", "pathspec"}
"""What these commands import that `ostinato` alone does not bring."""

GOES_ON = "what was done before stays; deploy again to go on"

PYTHON = "3.13"
PLATFORM = "manylinux_2_28_x86_64"


@build.callback()
@synth.callback()
@deploy.callback()
def _group() -> None:
    """Keeps the cloud a word of its own while there is but one."""


@build.command("azure")
def build_azure(
    output: Annotated[Path, typer.Option("--output", "-o", help="The zip file.")] = Path("app.zip"),
    python: PythonOption = None,
    platform: PlatformOption = PLATFORM,
    app: AppOption = None,
    no_cache: CacheOption = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="See that the package can run.")
    ] = True,
) -> None:
    """Make the zip file that a function app runs from, of the folder it is called in.

    Leaves out what .funcignore names. The same project gives the same bytes. Before it is written
    the app is loaded, with nothing but the package where this Python is the function app's.

    Exit codes: 0 built, 2 usage.
    """
    with _azure():
        chosen = _python(python, None)
        typer.echo(_build(output, app, chosen, platform, fresh=no_cache, check=check))


@synth.command("azure")
def synth_azure(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder that gets infra/azure and host.json.")
    ] = Path(),
    app: AppOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if something would change.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a host.json that was written by hand, too.")
    ] = False,
) -> None:
    """Write infra/azure/*.json (ARM templates) and host.json.

    Exit codes: 0 written or up to date, 1 --check found differences, 2 usage.
    """
    with _azure():
        from ostinato_azure.packaging.synth import differing, write

        files = _synthesize(app)
        changed = differing(files, output) if check else write(files, output, force=force)
        for name in changed:
            typer.echo(f"{'differs' if check else 'written'}: {output / name}")
    if check and changed:
        _note("hint: ostinato synth azure")
        raise typer.Exit(ExitCode.FAILED)
    if not changed:
        _note("everything is up to date")


@deploy.command("azure")
def deploy_azure(
    resource_group: Annotated[str, typer.Option("--resource-group", "-g")],
    location: Annotated[
        str | None, typer.Option(help="Create the resource group in this region.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the function app; by default made by the template.")
    ] = None,
    package: Annotated[
        Path | None, typer.Option("--zip", help="A package built before; by default one is built.")
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="Of another environment; by default infra/azure/main.parameters.json."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="A variable of this environment to give to the app; may be repeated."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="infra, code or events: that part alone.")
    ] = None,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Deploy templates that are not up to date, too.")
    ] = False,
    python: PythonOption = None,
    platform: PlatformOption = PLATFORM,
    app: AppOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands, run none.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Create or update the infrastructure of infra/azure, then the code, by the tool az.

    The secrets that webhooks check are taken from the environment, as --setting does.

    Exit codes: 0 deployed, 1 a tool failed, the answer was no, or Azure lists less functions than
    the app has, 2 usage.
    """
    with _azure(), tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        from ostinato_azure.packaging.build import packed_python
        from ostinato_azure.packaging.deploy import Deployment, Part, check, plan
        from ostinato_azure.packaging.infrastructure import open_routes
        from ostinato_azure.packaging.synth import differing
        from ostinato_azure.packaging.target import Target

        if only not in (None, *Part):
            raise UsageError(f"--only is one of {', '.join(Part)}, not {only!r}")
        part = None if only is None else Part(only)
        if setting and part not in (None, Part.INFRA):
            raise UsageError(f"--setting is given with the infrastructure, not with --only {only}")
        chosen = _python(python, parameters)
        Target(python=chosen, platform=platform)
        found = find_app(app, Path.cwd())
        built = package or Path("app.zip" if dry_run else Path(folder) / "app.zip")
        if package is not None and not package.is_file():
            raise UsageError(f"there is no file {package}")
        packed = packed_python(package) if package else chosen
        if packed not in (None, chosen):
            raise UsageError(
                f"{package} is for Python {packed}, the function app's would be {chosen}: "
                f"build it again, or give --python {packed}"
            )
        deployment = Deployment(
            project=Path(),
            package=built,
            group=resource_group,
            location=location,
            name=name,
            python=chosen,
            settings=_settings(found, setting or [], may_lack=dry_run)
            if part in (None, Part.INFRA)
            else {},
            parameters=parameters,
            functions=_functions(found),
            only=part,
        )
        check(deployment)
        stale = differing(_synthesize(app), deployment.project)
        if stale and not allow_stale:
            raise UsageError(
                f"{', '.join(stale)} not up to date: ostinato synth azure, or give --allow-stale"
            )
        has_code = deployment.has(Part.CODE)
        for route in open_routes(found):
            _note(f"note: anybody may send {route}: it asks for no key (auth=HttpAuth(...))")
        if dry_run:
            from ostinato_azure.packaging.errors import PackagingError
            from ostinato_azure.packaging.tools import AzureCli

            try:
                AzureCli.find()
            except PackagingError as error:
                _note(f"warning: {error}")
            if unset := [name for name, value in deployment.settings.items() if not value]:
                _note(f"warning: not set in this environment: {', '.join(unset)}")
            built_by = ["ostinato", "build", "azure", "--output", str(built), "--python", chosen]
            built_by += ["--platform", platform, *(["--app", app] if app else [])]
            if package is None and has_code:
                typer.echo(shlex.join(built_by))
            for command in plan(deployment):
                typer.echo(command)
            return
        _deploy(
            deployment,
            yes=yes,
            build=(
                (lambda: _build(built, app, chosen, platform))
                if package is None and has_code
                else None
            ),
        )


def _deploy(deployment: Deployment, *, yes: bool, build: Callable[[], str] | None) -> None:
    from ostinato_azure.packaging.deploy import deploy, signed_in
    from ostinato_azure.packaging.tools import AzureCli, ToolFailedError

    az = AzureCli.find()
    subscription = signed_in(az)
    question = f"Deploy to {deployment.group!r} of the subscription {subscription!r}?"
    if not (yes or confirmed(question)):
        raise typer.Exit(ExitCode.FAILED)
    if build is not None:
        _note(build())
    try:
        deployed = deploy(deployment, az, _note)
    except ToolFailedError as error:
        _note(f"error: {error}\n{GOES_ON}", style="red")
        raise typer.Exit(ExitCode.FAILED) from None
    except KeyboardInterrupt:
        _note(f"stopped; {GOES_ON}")
        raise
    outputs = deployed.outputs
    typer.echo(f"https://{outputs.host_name}")
    _note(
        f"management API: {outputs.management_url}\n"
        f"its key: az functionapp keys list --resource-group {deployment.group} "
        f"--name {outputs.name} --query systemKeys.durabletask_extension --output tsv"
    )
    for name in deployed.missing:
        _note(f"error: Azure does not list the function {name!r}", style="red")
    if deployed.missing:
        _note("hint: the log of the app says why its package could not be loaded")
        raise typer.Exit(ExitCode.FAILED)


def _python(given: str | None, parameters: Path | None) -> str:
    """The function app's Python: the one that was given, else its parameters' own."""
    from ostinato_azure.packaging.parameters import python_version
    from ostinato_azure.packaging.synth import PARAMETERS

    return given or python_version(parameters or Path(PARAMETERS)) or PYTHON


def _functions(app: ost.App) -> list[str]:
    """The names of the functions by which an application is a function app."""
    import ostinato_azure
    from ostinato_azure.packaging.settings import read_settings

    made = ostinato_azure.function_app(app, grpc=read_settings(Path.cwd()).grpc)
    return [str(function.get_function_name()) for function in made.get_functions()]


def _settings(app: ost.App, named: Sequence[str], *, may_lack: bool) -> dict[str, str]:
    """The values of settings by name, from the environment."""
    from ostinato_azure.packaging.infrastructure import secret_settings

    if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in named):
        raise UsageError(  # what was given is not shown: it may be the secret itself
            "--setting takes the name of a variable of this environment (letters, digits and "
            "'_'), never its value"
        )
    names = sorted({*named, *secret_settings(app)})
    absent = [name for name in names if not os.environ.get(name)]
    if absent and not may_lack:
        raise UsageError(
            f"the environment lacks {', '.join(absent)}: the deployed app takes its settings, "
            "such as webhooks' secrets, from the environment of this command"
        )
    return {name: os.environ.get(name, "") for name in names}


def _build(
    output: Path,
    app: str | None,
    python: str,
    platform: str,
    *,
    fresh: bool = False,
    check: bool = True,
) -> str:
    """Build, and return what is to be said of it."""
    from ostinato_azure.packaging.build import build
    from ostinato_azure.packaging.target import Target

    report = build(
        Path.cwd(),
        output,
        lambda: app_reference(app, Path.cwd()),
        target=Target(python=python, platform=platform),
        fresh=fresh,
        check=check,
        say=_note,
    )
    return (
        f"{report.path}: {report.size / 1e6:.1f} MB, {report.files:,} files"
        f" ({report.unpacked / 1e6:.1f} MB unpacked),"
        f" {len(report.dependencies)} dependencies for Python {python}"
    )


def _synthesize(app: str | None) -> dict[str, str | None]:
    import ostinato_azure
    from ostinato_azure.packaging.events import blob_functions
    from ostinato_azure.packaging.infrastructure import containers
    from ostinato_azure.packaging.settings import read_settings
    from ostinato_azure.packaging.synth import synthesize

    found, settings = find_app(app, Path.cwd()), read_settings(Path.cwd())
    functions = (
        blob_functions(ostinato_azure.function_app(found, grpc=settings.grpc))
        if containers(found)
        else []
    )
    return synthesize(found, functions, settings)


def app_reference(target: str | None, folder: Path) -> AppReference:
    """Return the application that `find_app` does, and where code of ``folder`` imports it from.

    Raises:
        UsageError: There is none, or no module of the folder has it.
    """
    from ostinato_azure.packaging.build import AppReference

    app = find_app(target, folder)
    holders = [
        (module.__name__, attribute)
        for module in list(sys.modules.values())
        if _is_of(folder, module.__dict__.get("__file__"))
        for attribute, value in vars(module).items()
        if value is app
    ]
    if not holders:
        raise UsageError(f"no module of {folder} has the application: build where its code is")
    module, attribute = min(holders, key=lambda holder: (holder[0].count("."), *holder))
    return AppReference(app=app, module=module, attribute=attribute)


def _is_of(folder: Path, file: object) -> bool:
    return isinstance(file, str) and Path(file).resolve().is_relative_to(folder.resolve())


@contextmanager
def _azure() -> Generator[None, None, None]:
    """Tell what the user can mend, a missing extra among it; leave no files when stopped."""
    try:
        with stopped_by_sigterm(), mendable(), needing("azure,cli", OF_EXTRAS):
            yield
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(ExitCode.of_interrupt(interrupt)) from None


def _note(text: str, style: str | None = None) -> None:
    Console(stderr=True).print(text, style=style, highlight=False, markup=False, soft_wrap=True)
