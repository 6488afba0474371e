"""Deploying: the infrastructure, what its owner adds, the code, and what needs the running code.

Flex Consumption takes a finished package by ``az functionapp deployment source config-zip``,
which uploads it with the user's own sign-in; no publishing password is asked for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from ostinato_azure.packaging.arm import parameters_file, text
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.infrastructure import check_name
from ostinato_azure.packaging.parameters import (
    PYTHON,
    SETTINGS,
    app_settings,
    check_parameters,
    check_settings,
    stated_settings,
)
from ostinato_azure.packaging.synth import EVENTS, MAIN, PARAMETERS
from ostinato_azure.packaging.tools import AzureCli, ToolFailedError, answered, shown

ATTEMPTS = 20
"""How often the code and the events are tried: it takes up to ten minutes until a role is known."""

PAUSE = 30.0
"""Seconds between two attempts."""

UNKNOWN = "<from the deployment's outputs>"
"""In commands that are only shown: what the first deployment tells."""

EXTRA = "infra/azure/extra.json"
"""A template of the project's own, which is deployed after the infrastructure."""

EXTRA_PARAMETERS = "infra/azure/extra.parameters.json"
"""Values for parameters of that template; those named like an output of ours have its value."""

_MAIN_NAME = "ostinato-main"

_ACCOUNT_COMMAND = ["account", "show", "--output", "json"]
"""What shows who is signed in, and on which subscription."""


class Part(StrEnum):
    """What can be deployed by itself."""

    INFRA = "infra"
    """The infrastructure and the project's own template. Roles are given by it."""
    CODE = "code"
    EVENTS = "events"
    """By which blobs reach the code, which must run."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What to deploy, and to where."""

    project: Path
    package: Path
    group: str
    location: str | None = None
    """Creates the resource group there; None expects it to exist."""
    name: str | None = None
    """Of the function app; None leaves it to the template."""
    python: str
    settings: Mapping[str, str] = {}
    """Of the app, beside those of the parameters: secrets, so they are never shown."""
    parameters: Path | None = None
    """The template's parameters; None is the project's own."""
    functions: Sequence[str] = ()
    """The functions that Azure should list in the end."""
    only: Part | None = None
    """None is everything."""

    def group_command(self) -> list[str]:
        """Return what creates the resource group, or sees that it is there."""
        if self.location is None:
            return ["group", "show", "--name", self.group, "--output", "none"]
        where = ["--name", self.group, "--location", self.location]
        return ["group", "create", *where, "--output", "none"]

    def main_command(self, settings_file: str | None) -> list[str]:
        """Return what deploys the infrastructure and prints the template's outputs."""
        command = self._template_command(_MAIN_NAME, MAIN)
        command += ["--parameters", f"@{self.parameters_file()}"]
        command += [f"{PYTHON}={self.python}"]
        command += [f"name={self.name}"] if self.name else []
        command += [f"@{settings_file}"] if settings_file else []
        return [*command, "--query", "properties.outputs", "--output", "json"]

    def all_settings(self) -> dict[str, Any]:
        """Return what takes the place of the settings in the file of parameters: those and ours.

        Nothing where there are none of ours.

        Raises:
            PackagingError: The file cannot be read.
        """
        return {**app_settings(self.parameters_file()), **self.settings} if self.settings else {}

    def parameters_file(self) -> Path:
        """Return the file with the template's parameters."""
        return self.parameters or self.project / PARAMETERS

    def code_command(self, name: str) -> list[str]:
        """Return what gives the app its package."""
        command = ["functionapp", "deployment", "source", "config-zip"]
        command += ["--resource-group", self.group, "--name", name, "--src", str(self.package)]
        return [*command, "--build-remote", "false", "--output", "none"]

    def outputs_command(self) -> list[str]:
        """Return what prints the template's outputs of the last deployment."""
        command = ["deployment", "group", "show", "--resource-group", self.group]
        return [*command, "--name", _MAIN_NAME, "--query", "properties.outputs", "--output", "json"]

    def extra_command(self, outputs: Mapping[str, Any]) -> list[str]:
        """Return what deploys the project's own template."""
        return self._later("ostinato-extra", EXTRA, outputs, self.project / EXTRA_PARAMETERS)

    def events_command(self, outputs: Mapping[str, Any]) -> list[str]:
        """Return what lets blobs reach the app."""
        return self._later("ostinato-events", EVENTS, outputs, None)

    def _later(
        self, deployment: str, template: str, outputs: Mapping[str, Any], values: Path | None
    ) -> list[str]:
        """What deploys a template whose parameters get the outputs of the same names."""
        command = self._template_command(deployment, template)
        taken = _read(self.project / template).parameters
        given = [f"@{values}"] if values is not None and values.is_file() else []
        given += [f"{name}={_argument(outputs[name])}" for name in taken if name in outputs]
        return [*command, *(["--parameters", *given] if given else []), "--output", "none"]

    def _template_command(self, deployment: str, template: str) -> list[str]:
        """The beginning of what deploys a template."""
        command = ["deployment", "group", "create", "--resource-group", self.group]
        return [*command, "--name", deployment, "--template-file", str(self.project / template)]

    def planned_outputs(self) -> dict[str, str]:
        """Return the outputs of the template, which are not known yet but for the app's name."""
        outputs = dict.fromkeys(_read(self.project / MAIN).outputs, UNKNOWN)
        return outputs | ({"name": self.name} if self.name else {})

    def list_command(self, name: str) -> list[str]:
        """Return what lists the functions that Azure found in the package."""
        command = ["functionapp", "function", "list", "--resource-group", self.group]
        return [*command, "--name", name, "--query", "[].name", "--output", "json"]

    def has(self, part: Part) -> bool:
        """Return whether a part is wanted, and there."""
        if self.only not in (None, part):
            return False
        return part is not Part.EVENTS or (self.project / EVENTS).is_file()

    def has_extra(self) -> bool:
        """Return whether the project has a template of its own."""
        return (self.project / EXTRA).is_file()


class Outputs(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the template tells of the app."""

    name: str
    host_name: str
    management_url: str


class _Template(msgspec.Struct, frozen=True):
    parameters: dict[str, Any] = {}
    outputs: dict[str, Any] = {}


class _Output(msgspec.Struct, frozen=True):
    value: Any


class _Account(msgspec.Struct, frozen=True):
    name: str


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment came to."""

    outputs: Outputs
    missing: Sequence[str]
    """Functions that Azure does not list."""


def check(deployment: Deployment) -> None:
    """See that the templates are there, and name, parameters and settings are as Azure takes them.

    Raises:
        PackagingError: They are not.
    """
    if deployment.name is not None:
        check_name(deployment.name)
    given = deployment.parameters
    if given is not None and not given.is_file():
        raise PackagingError(f"there is no file {given}")
    for name in (MAIN, PARAMETERS) if given is None else (MAIN,):
        if not (deployment.project / name).is_file():
            raise PackagingError(f"there is no {name}: write it with ostinato synth azure")
    if deployment.only is Part.EVENTS and not deployment.has(Part.EVENTS):
        raise PackagingError(f"there is no {EVENTS}: no orchestration has a Blob trigger")
    check_parameters(deployment.parameters_file(), _read(deployment.project / MAIN).parameters)
    check_settings(deployment.settings, "--setting")
    check_settings(stated_settings(deployment.parameters_file()), str(deployment.parameters_file()))


def plan(deployment: Deployment) -> list[str]:
    """Return the commands that `deploy` runs, as one would type them.

    Raises:
        PackagingError: A template or a file of parameters cannot be read.
    """
    outputs = deployment.planned_outputs()
    settings = deployment.all_settings()
    settings_file = f"<a file with {', '.join(settings)}>" if settings else None
    commands = [_ACCOUNT_COMMAND]
    if deployment.has(Part.INFRA):
        commands += [deployment.group_command(), deployment.main_command(settings_file)]
        commands += [deployment.extra_command(outputs)] if deployment.has_extra() else []
    else:
        commands.append(deployment.outputs_command())
    if deployment.has(Part.CODE):
        commands.append(deployment.code_command(outputs["name"]))
    if deployment.has(Part.EVENTS):
        commands.append(deployment.events_command(outputs))
    if deployment.has(Part.CODE):
        commands.append(deployment.list_command(outputs["name"]))
    return [shown(command) for command in commands]


def signed_in(az: AzureCli) -> str:
    """Return the name of the subscription that ``az`` works on.

    Raises:
        PackagingError: Nobody is signed in.
    """
    try:
        return answered(_ACCOUNT_COMMAND, az.run(_ACCOUNT_COMMAND), _Account).name
    except ToolFailedError:
        raise PackagingError("az is not signed in to Azure: az login") from None


def deploy(
    deployment: Deployment,
    az: AzureCli,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Deployed:
    """Run the commands of `plan` but the first; say each before it runs.

    Args:
        deployment: What to deploy.
        az: What runs them.
        say: Told of each step.
        pause: Waits so many seconds before what failed is tried again.

    Raises:
        ToolFailedError: A command failed; those before it have had their effect, and a further
            deployment goes on from there.
    """

    def once(what: str, command: list[str]) -> str:
        say(f"{what}\n  {shown(command)}")
        return az.run(command)

    def patiently(what: str, command: list[str]) -> None:
        for left in reversed(range(ATTEMPTS)):
            try:
                once(what, command)
                return
            except ToolFailedError as error:
                if not left:
                    raise
                last = error.said.splitlines()[-1:] or [str(error)]
                say(
                    f"not yet: {last[0]}\n  new roles and webhooks take a while; "
                    f"trying again in {PAUSE:.0f} s"
                )
                pause(PAUSE)

    if deployment.has(Part.INFRA):
        once("resource group", deployment.group_command())
        with _settings_file(deployment.all_settings()) as settings_file:
            command = deployment.main_command(settings_file)
            values = _values(command, once("infrastructure (some minutes)", command))
        if deployment.has_extra():
            once("the project's own template", deployment.extra_command(values))
    else:
        command = deployment.outputs_command()
        values = _values(command, once("what was deployed before", command))
    outputs = _outputs(command, values)
    if deployment.has(Part.CODE):
        patiently("code", deployment.code_command(outputs.name))
    if deployment.has(Part.EVENTS):
        patiently("events of blobs", deployment.events_command(values))

    def not_listed() -> list[str]:
        command = deployment.list_command(outputs.name)
        try:
            told = once("functions that Azure found", command)
        except ToolFailedError as error:
            say(f"not yet: {error}")
            return list(deployment.functions)
        return _missing(deployment.functions, answered(command, told, list[str]))

    missing = not_listed() if deployment.has(Part.CODE) else []
    for _ in range(ATTEMPTS - 1):
        if not missing:
            break
        say(f"not yet: {', '.join(missing)}\n  looking again in {PAUSE:.0f} s")
        pause(PAUSE)
        missing = not_listed()
    return Deployed(outputs=outputs, missing=missing)


def _missing(declared: Iterable[str], listed: Iterable[str]) -> list[str]:
    """Which functions are not listed; Azure has ``<app>/<function>``, and ignores case."""
    found = {name.rpartition("/")[2].lower() for name in listed}
    return [name for name in declared if name.lower() not in found]


@contextmanager
def _settings_file(settings: Mapping[str, Any]) -> Generator[str | None, None, None]:
    """Keep settings in a file that only its owner can read, while the block runs."""
    if not settings:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        path = Path(folder) / "settings.json"
        path.touch(mode=0o600)
        path.write_text(text(parameters_file({SETTINGS: dict(settings)})), encoding="utf-8")
        yield str(path)


def _values(command: Sequence[str], told: str) -> dict[str, Any]:
    """The outputs by name."""
    found = answered(command, told, dict[str, _Output])
    return {name: output.value for name, output in found.items()}


def _outputs(command: Sequence[str], values: Mapping[str, Any]) -> Outputs:
    return answered(command, msgspec.json.encode(values), Outputs)


def _read(template: Path) -> _Template:
    try:
        return msgspec.json.decode(template.read_bytes(), type=_Template)
    except (OSError, msgspec.DecodeError) as error:
        raise PackagingError(f"{template} is no template: {error}") from None


def _argument(value: Any) -> str:
    """A value as ``az`` takes it after a parameter's name."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
