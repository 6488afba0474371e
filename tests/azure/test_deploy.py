"""Deploying, with a stand-in of ``az`` on the PATH that records what it is asked."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ostinato.cli.commands import cli
from ostinato_azure.packaging.deploy import (
    ATTEMPTS,
    EXTRA,
    EXTRA_PARAMETERS,
    PAUSE,
    UNKNOWN,
    Deployment,
    Part,
    check,
    deploy,
    plan,
    signed_in,
)
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.synth import EVENTS, MAIN, PARAMETERS
from ostinato_azure.packaging.tools import AzureCli, ToolFailedError
from tests.azure.projects import HERE, SHOP, ostinato, write

AZ = """#!{python} -IS
import json, os, signal, sys
here = os.path.dirname(os.path.abspath(__file__))
arguments = sys.argv[1:]
files = [a[1:] for a in arguments if a.startswith("@")]
private = [f for f in files if "ostinato-" in f]
with open(os.path.join(here, "calls"), "a") as calls:
    told = {{"arguments": arguments, "files": [open(f).read() for f in files]}}
    told["modes"] = [oct(os.stat(f).st_mode & 0o777) for f in private]
    calls.write(json.dumps(told) + "\\n")
for begin, answer in json.load(open(os.path.join(here, "answers"))):
    if arguments[:len(begin)] == begin:
        answers = answer if isinstance(answer, list) else [answer]
        made = sum(json.loads(c)["arguments"][:len(begin)] == begin
                   for c in open(os.path.join(here, "calls")))
        answer = answers[min(made, len(answers)) - 1]
        if answer.get("is_stopped"):
            os.kill(os.getppid(), signal.SIGTERM)
            signal.pause()
        sys.stderr.write(answer.get("stderr", ""))
        sys.stdout.write(answer.get("stdout", ""))
        sys.exit(answer.get("code", 0))
"""

OUTPUTS: dict[str, Any] = {
    "name": {"type": "String", "value": "corner-abc"},
    "storageName": {"type": "String", "value": "cornerstore"},
    "location": {"type": "String", "value": "westeurope"},
    "tags": {"type": "Object", "value": {"team": "data"}},
    "hostName": {"type": "String", "value": "corner-abc.azurewebsites.net"},
    "managementUrl": {
        "type": "String",
        "value": "https://corner-abc.azurewebsites.net/runtime/webhooks/durabletask",
    },
}
ACCOUNT = [["account", "show"], {"stdout": json.dumps({"name": "Pay as you go"})}]
CREATED = [["deployment", "group", "create"], {"stdout": json.dumps(OUTPUTS)}]
FUNCTIONS = ["order", "pack", "order_http", "order_queue"]
OURS = ["ostinato-gate", "ostinato-client", "ostinato_http"]
LIST = ["functionapp", "function", "list"]
LISTED = [LIST, {"stdout": json.dumps([f"corner-abc/{name}" for name in FUNCTIONS + OURS])}]
SHOWN = [["deployment", "group", "show"], {"stdout": json.dumps(OUTPUTS)}]
LATER = '{"parameters": {"name": {}, "storageName": {}, "location": {}, "mine": {}}}'
CODE = ["functionapp", "deployment", "source", "config-zip"]


class Az:
    """The stand-in: its answers by the first words of a command, and what it was asked."""

    def __init__(self, folder: Path, *answers: Any) -> None:
        self.folder = folder
        folder.mkdir()
        self.answer(*answers)
        program = folder / "az"
        program.write_text(AZ.format(python=sys.executable))
        program.chmod(0o700)

    def answer(self, *answers: Any) -> None:
        (self.folder / "answers").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def commands(self) -> list[str]:
        return [" ".join(call["arguments"]) for call in self.calls]

    def cli(self) -> AzureCli:
        return AzureCli(program=str(self.folder / "az"))


@pytest.fixture
def az(tmp_path: Path) -> Az:
    return Az(tmp_path / "bin", ACCOUNT, CREATED, LISTED)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose infrastructure is written down, with a package built before."""
    folder = write(tmp_path_factory.mktemp("written") / "project", {"shop.py": SHOP})
    with zipfile.ZipFile(folder / "app.zip", "w"):
        pass
    assert ostinato(folder, "synth", "azure").returncode == 0
    return folder


@pytest.fixture
def project(written: Path, tmp_path: Path) -> Path:
    """A copy of that project, for one test."""
    return shutil.copytree(written, tmp_path / "project")


def deployment(project: Path, **more: Any) -> Deployment:
    given: dict[str, Any] = {"group": "rg", "python": "3.13", "package": project / "app.zip"}
    return Deployment(project=project, **(given | more))


def nothing(text: str) -> None: ...


def no_pause(seconds: float) -> None:
    raise AssertionError("nothing is tried again")


# --- the commands ---


def test_infrastructure_comes_first_then_the_code(project: Path, az: Az):
    asked = deployment(project, location="westeurope", functions=FUNCTIONS)
    deployed = deploy(asked, az.cli(), nothing, no_pause)
    group, main, code, listing = az.commands
    assert group == "group create --name rg --location westeurope --output none"
    assert main.startswith("deployment group create --resource-group rg --name ostinato-main")
    assert f"--parameters @{project / PARAMETERS} pythonVersion=3.13" in main
    assert code == (
        "functionapp deployment source config-zip --resource-group rg --name corner-abc "
        f"--src {project / 'app.zip'} --build-remote false --output none"
    )
    assert listing.startswith("functionapp function list --resource-group rg --name corner-abc ")
    assert deployed.outputs.host_name == "corner-abc.azurewebsites.net"
    assert deployed.missing == []


def test_without_a_location_the_group_must_exist(project: Path, az: Az):
    missing = {"code": 3, "stderr": "ERROR: Resource group 'rg' could not be found."}
    az.answer(ACCOUNT, CREATED, [["group", "show"], missing])
    with pytest.raises(ToolFailedError, match="could not be found"):
        deploy(deployment(project), az.cli(), nothing, no_pause)
    assert az.commands == ["group show --name rg --output none"]


def test_blobs_events_come_after_the_code(project: Path, az: Az):
    write(project, {EVENTS: LATER})
    deploy(deployment(project, name="corner"), az.cli(), nothing, no_pause)
    main, code, events, _ = az.commands[1:]
    assert " name=corner " in main
    assert code.startswith("functionapp")
    assert f"--template-file {project / EVENTS}" in events
    given = "name=corner-abc storageName=cornerstore location=westeurope"
    assert f"--parameters {given} --output" in events


def test_what_is_planned_is_what_is_run(project: Path, az: Az):
    write(project, {EVENTS: LATER, EXTRA: LATER})
    asked = deployment(project, name="corner-abc")
    planned = "\n".join(plan(asked))
    signed_in(az.cli())
    deploy(asked, az.cli(), nothing, no_pause)
    run = "\n".join(shlex.join(["az", *call["arguments"]]) for call in az.calls)
    for told_later in ("storageName", "location"):
        value = OUTPUTS[told_later]["value"]
        planned = planned.replace(shlex.quote(f"{told_later}={UNKNOWN}"), f"{told_later}={value}")
    assert run == planned


def test_a_template_of_the_projects_own_gets_the_outputs_that_it_asks_for(project: Path, az: Az):
    asks: Any = {"parameters": {"name": {}, "tags": {}, "mine": {}}}
    write(project, {EXTRA: json.dumps(asks), EXTRA_PARAMETERS: "{}"})
    deploy(deployment(project), az.cli(), nothing, no_pause)
    _, main, extra, code, _ = az.commands
    assert "ostinato-main" in main and code.startswith("functionapp")
    assert f"--template-file {project / EXTRA}" in extra
    values = f'--parameters @{project / EXTRA_PARAMETERS} name=corner-abc tags={{"team":"data"}}'
    assert f"{values} --output" in extra


@pytest.mark.parametrize(
    ("only", "run"),
    [
        (Part.INFRA, ["group show", "ostinato-main", "ostinato-extra"]),
        (Part.CODE, ["group show", "config-zip", "function list"]),
        (Part.EVENTS, ["group show", "ostinato-events"]),
    ],
)
def test_a_part_can_be_deployed_by_itself(project: Path, az: Az, only: Part, run: list[str]):
    write(project, {EVENTS: LATER, EXTRA: LATER})
    az.answer(ACCOUNT, CREATED, SHOWN, LISTED)
    asked = deployment(project, only=only, functions=["gone"] if only is not Part.CODE else [])
    planned = plan(asked)
    deployed = deploy(asked, az.cli(), nothing, no_pause)
    assert (deployed.outputs.name, deployed.missing) == ("corner-abc", [])
    for commands in (planned[1:], az.commands):
        assert len(commands) == len(run)
        assert all(part in command for part, command in zip(run, commands, strict=True))


def test_a_template_that_is_none_is_named(project: Path, az: Az):
    write(project, {EXTRA: "[]"})
    with pytest.raises(PackagingError, match=f"{EXTRA} is no template"):
        plan(deployment(project))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AzureWebJobsStorage__accountName", "is set by the template"),
        ("azurewebjobsstorage", "is set by the template"),
        ("FUNCTIONS_WORKER_RUNTIME", "Flex Consumption takes no setting"),
    ],
)
def test_settings_that_the_plan_or_the_template_decides_are_refused(
    project: Path, name: str, said: str
):
    with pytest.raises(PackagingError, match=f"--setting: .*{said}|{said} {name}"):
        check(deployment(project, settings={name: "x"}))
    write(project, {PARAMETERS: json.dumps({"parameters": {"appSettings": {"value": {name: 1}}}})})
    with pytest.raises(PackagingError, match=PARAMETERS):
        check(deployment(project))


def test_secrets_go_by_a_file_that_only_its_owner_reads_and_that_is_gone(project: Path, az: Az):
    said: list[str] = []
    deploy(deployment(project, settings={"KEY": "s3cret"}), az.cli(), said.append, no_pause)
    main = az.calls[1]
    assert main["modes"] == ["0o600"]
    assert json.loads(main["files"][1])["parameters"]["appSettings"]["value"] == {"KEY": "s3cret"}
    assert "s3cret" not in " ".join([*az.commands, *said])
    private = [a[1:] for a in main["arguments"] if a.startswith("@") and "ostinato-" in a]
    assert [Path(name).exists() for name in private] == [False]


def test_given_settings_go_before_those_of_the_parameters_and_take_none_away(project: Path, az: Az):
    settings = {"MODE": "fast", "KEY": "from the file", "LIMIT": 3}
    write(project, {PARAMETERS: json.dumps({"parameters": {"appSettings": {"value": settings}}})})
    asked = deployment(project, settings={"KEY": "s3cret"})
    deploy(asked, az.cli(), nothing, no_pause)
    given = json.loads(az.calls[1]["files"][1])["parameters"]["appSettings"]["value"]
    assert given == {"MODE": "fast", "KEY": "s3cret", "LIMIT": 3}
    assert "<a file with MODE, KEY, LIMIT>" in plan(asked)[2]
    deploy(deployment(project), az.cli(), nothing, no_pause)
    assert len(az.calls[5]["files"]) == 1  # the file's stand by themselves


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"parameters": {"appSettings": {"reference": {}}}}', "not written there as an object"),
        ('{"parameters": 3}', "is no file of parameters"),
        ("{", "is no file of parameters"),
    ],
)
def test_parameters_to_which_no_setting_can_be_added_are_refused(
    project: Path, az: Az, text: str, said: str
):
    write(project, {PARAMETERS: text})
    with pytest.raises(PackagingError, match=f"{PARAMETERS}.* {said}"):
        deploy(deployment(project, settings={"KEY": "s3cret"}), az.cli(), nothing, no_pause)
    assert not any(command.startswith("deployment") for command in az.commands)


# --- failures ---


def test_the_code_is_tried_again_while_its_role_is_not_known_yet(project: Path, az: Az):
    refused = {"code": 1, "stderr": "ERROR: BlobUploadFailedException"}
    az.answer(ACCOUNT, CREATED, [CODE, [refused, refused, {}]], LISTED)
    waited: list[float] = []
    said: list[str] = []
    deploy(deployment(project), az.cli(), said.append, waited.append)
    assert waited == [PAUSE, PAUSE]
    assert sum("BlobUploadFailed" in text for text in said) == 2


def test_functions_that_azure_does_not_list_are_looked_for_again_and_named(project: Path, az: Az):
    some = {"stdout": json.dumps(["corner-abc/Order", "corner-abc/pack"])}
    asked = deployment(project, functions=["order", "pack", "order_http"])
    az.answer(ACCOUNT, CREATED, [LIST, [{"stdout": "[]"}, some, LISTED[1]]])
    waited: list[float] = []
    assert deploy(asked, az.cli(), nothing, waited.append).missing == []
    assert waited == [PAUSE, PAUSE]
    az.answer(ACCOUNT, CREATED, [LIST, some])
    assert deploy(asked, az.cli(), nothing, waited.append).missing == ["order_http"]
    assert len(waited) == 2 + ATTEMPTS - 1


def test_in_the_end_the_failure_is_told(project: Path, az: Az):
    az.answer(ACCOUNT, CREATED, [CODE, {"code": 1, "stderr": "ERROR: no such app"}])
    waited: list[float] = []
    with pytest.raises(ToolFailedError, match=r"config-zip .*\nended with code 1:\nERROR: no"):
        deploy(deployment(project), az.cli(), nothing, waited.append)
    assert len(waited) == ATTEMPTS - 1


def test_a_failed_infrastructure_ends_it_at_once(project: Path, az: Az):
    failed = {"code": 1, "stderr": "ERROR: InvalidTemplateDeployment"}
    az.answer(ACCOUNT, [["deployment"], failed])
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--yes", "--zip", "app.zip", path=az.folder
    )
    assert result.returncode == 1
    assert "InvalidTemplateDeployment" in result.stderr
    assert "deploy again to go on" in result.stderr
    assert len(az.calls) == 3


@pytest.mark.parametrize("told", ["null", "{}", '{"name": {"value": 3}}', "Bye."])
def test_outputs_that_are_none_are_told_with_the_command(project: Path, az: Az, told: str):
    az.answer(ACCOUNT, [["deployment"], {"stdout": told}])
    with pytest.raises(ToolFailedError, match=r"az deployment .*\n.*\nits answer is not usable"):
        deploy(deployment(project), az.cli(), nothing, no_pause)


def test_a_list_of_functions_that_is_none_is_told_with_the_command(project: Path, az: Az):
    az.answer(ACCOUNT, CREATED, [LIST, {"stdout": "null"}])
    with pytest.raises(ToolFailedError, match=r"az functionapp function list .*\n.*\nits answer"):
        deploy(deployment(project), az.cli(), nothing, no_pause)


def test_a_deployment_that_is_stopped_leaves_no_secrets_behind(webhook: Callable[..., Any], az: Az):
    az.answer(ACCOUNT, [["deployment"], {"is_stopped": True}])
    result = webhook("--yes", path=az.folder, SHOP_KEY="s3cret")
    assert result.returncode == 143
    assert "stopped; what was done before stays" in result.stderr
    assert "Traceback" not in result.stderr
    (private,) = [
        Path(argument[1:])
        for argument in az.calls[2]["arguments"]
        if argument.startswith("@") and "ostinato-" in argument
    ]
    assert "s3cret" in az.calls[2]["files"][1]
    assert not private.parent.exists()


def test_templates_that_are_not_there_are_asked_for(tmp_path: Path):
    with pytest.raises(PackagingError, match="write it with ostinato synth azure"):
        check(deployment(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("instanceMemory", 512, "the template has no parameter instanceMemory: is it instanceMem"),
        ("mine", 1, "the template has no parameter mine"),
        ("instanceMemoryMB", "512", "instanceMemoryMB is of type int, which its value is not"),
        ("maximumInstanceCount", True, "maximumInstanceCount is of type int, which its value is"),
        ("appSettings", [], "appSettings is of type secureObject, which its value is not"),
    ],
)
def test_parameters_that_the_template_would_not_take_are_told_by_a_dry_run(
    project: Path, az: Az, name: str, value: Any, said: str
):
    write(project, {"prod.json": json.dumps({"parameters": {name: {"value": value}}})})
    dry = ["deploy", "azure", "-g", "rg", "--dry-run", "--parameters", "prod.json"]
    refused = ostinato(project, *dry, path=az.folder)
    assert refused.returncode == 2
    assert f"error: prod.json: {said}" in refused.stderr


def test_parameters_in_any_case_and_from_a_key_vault_are_the_templates_to_take(project: Path):
    given = {"INSTANCEMEMORYMB": {"value": 512}, "namePrefix": {"reference": {}}}
    write(project, {"prod.json": json.dumps({"parameters": given})})
    check(deployment(project, parameters=project / "prod.json"))


def test_parameters_of_another_environment_take_the_place_of_the_projects(project: Path, az: Az):
    staging = write(project, {"staging.json": "{}"}) / "staging.json"
    (project / PARAMETERS).unlink()
    asked = deployment(project, parameters=staging)
    check(asked)
    deploy(asked, az.cli(), nothing, no_pause)
    assert f"--parameters @{staging} pythonVersion" in az.commands[1]
    with pytest.raises(PackagingError, match=r"there is no file .*prod\.json"):
        check(deployment(project, parameters=project / "prod.json"))


# --- the command line ---


def test_a_deployment_tells_where_the_app_is_and_no_key(project: Path, az: Az):
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--yes", "--zip", "app.zip", path=az.folder
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "https://corner-abc.azurewebsites.net\n"
    assert "az functionapp keys list" in result.stderr
    assert not any("keys" in command for command in az.commands)


def test_without_a_package_one_is_built_before_anything_is_made(project: Path, az: Az):
    arguments = ["deploy", "azure", "-g", "rg", "--yes", "--python", HERE]
    write(project, {"requirements.txt": "--no-index\nnowhere-to-be-found\n"})
    cache = str(project.parent / "cache")
    refused = ostinato(project, *arguments, path=az.folder, XDG_CACHE_HOME=cache)
    assert refused.returncode == 2
    assert "the dependencies cannot be installed" in refused.stderr
    assert az.commands == ["account show --output json"]
    (project / "requirements.txt").unlink()
    result = ostinato(project, *arguments, path=az.folder, XDG_CACHE_HOME=cache)
    assert result.returncode == 0, result.stderr
    assert "app.zip: " in result.stderr
    assert f"pythonVersion={HERE}" in az.commands[3]


def test_a_dry_run_prints_the_commands_and_runs_none(project: Path, az: Az):
    result = ostinato(project, "deploy", "azure", "-g", "rg", "--dry-run", path=az.folder)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ostinato build azure --output app.zip --python 3.13")
    assert lines[1] == "az account show --output json"
    assert f"--template-file {MAIN}" in lines[3]
    assert az.calls == []


def test_the_build_of_a_dry_run_is_the_one_that_would_be_run(project: Path, az: Az):
    more = ["--python", "3.12", "--platform", "manylinux2014_x86_64", "--app", "shop:app"]
    result = ostinato(project, "deploy", "azure", "-g", "rg", "--dry-run", *more, path=az.folder)
    built, *_ = result.stdout.splitlines()
    assert built == f"ostinato build azure --output app.zip {' '.join(more)}"


def test_the_python_is_the_parameters_own_unless_it_is_given(project: Path, az: Az):
    write(project, {PARAMETERS: '{"parameters": {"pythonVersion": {"value": "3.12"}}}'})
    dry = ["deploy", "azure", "-g", "rg", "--dry-run"]
    own = ostinato(project, *dry, path=az.folder).stdout.splitlines()
    assert "--python 3.12 " in own[0]
    assert "pythonVersion=3.12 " in own[3]
    given = ostinato(project, *dry, "--python", "3.11", path=az.folder).stdout.splitlines()
    assert "--python 3.11 " in given[0]
    assert "pythonVersion=3.11 " in given[3]
    write(project, {"other.json": '{"parameters": {"pythonVersion": {"value": "3.9"}}}'})
    refused = ostinato(project, *dry, "--parameters", "other.json", path=az.folder)
    assert refused.returncode == 2
    assert "--python 3.9: a function app runs Python" in refused.stderr


def test_a_package_for_another_python_is_refused(project: Path, az: Az):
    with zipfile.ZipFile(project / "old.zip", "w") as archive:
        head = "# Packed with ostinato 0.1.0 for Python 3.11 on manylinux_2_28_x86_64; all of it\n"
        archive.writestr("requirements.txt", head)
    arguments = ["deploy", "azure", "-g", "rg", "--yes", "--zip"]
    refused = ostinato(project, *arguments, "old.zip", path=az.folder)
    assert refused.returncode == 2
    assert "old.zip is for Python 3.11, the function app's would be 3.13" in refused.stderr
    assert az.calls == []
    taken = ostinato(project, *arguments, "old.zip", "--python", "3.11", path=az.folder)
    assert taken.returncode == 0, taken.stderr
    write(project, {"no.zip": "PK"})
    broken = ostinato(project, *arguments, "no.zip", path=az.folder)
    assert broken.returncode == 2
    assert "no.zip cannot be read: File is not a zip file" in broken.stderr


@pytest.mark.parametrize("given", ["KEY=s3cret", "s3cret-key", ""])
def test_a_setting_that_is_no_name_is_refused_without_showing_it(project: Path, az: Az, given: str):
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--dry-run", "--setting", given, path=az.folder
    )
    assert result.returncode == 2
    assert "--setting takes the name of a variable" in result.stderr
    assert "s3cret" not in result.stdout + result.stderr


def test_a_name_that_azure_would_not_take_is_refused(project: Path, az: Az):
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--yes", "--name", "my_shop", path=az.folder
    )
    assert result.returncode == 2
    assert "--name my_shop: a function app's name is" in result.stderr
    assert az.calls == []


def test_routes_that_ask_for_no_key_are_named(webhook: Callable[..., Any], project: Path):
    assert "asks for no key" not in webhook("--dry-run").stderr
    write(project, {"shop.py": SHOP})
    assert "note: anybody may send POST /api/orders/{item}" in webhook("--dry-run").stderr


def test_a_deployment_of_which_azure_lists_less_than_the_app_has_fails(
    project: Path, az: Az, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project)
    monkeypatch.setattr("ostinato_azure.packaging.deploy.PAUSE", 0)
    monkeypatch.setenv("PATH", str(az.folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "shop", sys)  # so that what is imported is forgotten again
    monkeypatch.delitem(sys.modules, "shop")
    az.answer(ACCOUNT, CREATED, [LIST, {"stdout": '["corner-abc/order"]'}])
    result = CliRunner().invoke(
        cli, ["deploy", "azure", "-g", "rg", "--yes", "--zip", "app.zip", "--app", "shop:app"]
    )
    assert result.exit_code == 1, result.stderr
    assert result.stdout == "https://corner-abc.azurewebsites.net\n"
    for name in {*FUNCTIONS, *OURS} - {"order"}:
        assert f"error: Azure does not list the function {name!r}\n" in result.stderr
    assert "'order'" not in result.stderr


def test_without_az_one_is_told_where_to_get_it(project: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--yes", "--zip", "app.zip", path=empty
    )
    assert result.returncode == 2
    assert "there is no az on the PATH" in result.stderr
    assert "Traceback" not in result.stderr
    dry = ostinato(project, "deploy", "azure", "-g", "rg", "--dry-run", path=empty)
    assert dry.returncode == 0
    assert "warning: there is no az on the PATH" in dry.stderr


def test_who_is_not_signed_in_is_told_how_to(project: Path, az: Az):
    az.answer([["account", "show"], {"code": 1, "stderr": "Please run 'az login'"}])
    result = ostinato(
        project, "deploy", "azure", "-g", "rg", "--yes", "--zip", "app.zip", path=az.folder
    )
    assert result.returncode == 2
    assert "az is not signed in to Azure: az login" in result.stderr


def test_nothing_is_deployed_that_nobody_confirmed(project: Path, az: Az):
    result = ostinato(project, "deploy", "azure", "-g", "rg", "--zip", "app.zip", path=az.folder)
    assert result.returncode == 2
    assert "give --yes" in result.stderr
    assert az.commands == ["account show --output json"]


WEBHOOK = SHOP.replace('item}")', "item}\", auth=ost.HttpAuth('SHOP_KEY'))")


@pytest.fixture
def webhook(project: Path) -> Callable[..., Any]:
    """Deploys an app whose webhook checks a key, with some environment."""
    write(project, {"shop.py": WEBHOOK})
    arguments = ("deploy", "azure", "-g", "rg", "--zip", "app.zip")
    return lambda *more, **env: ostinato(project, *arguments, *more, **env)


def test_a_webhooks_secret_is_taken_from_the_environment(webhook: Callable[..., Any], az: Az):
    result = webhook("--yes", path=az.folder, SHOP_KEY="s3cret")
    assert result.returncode == 0, result.stderr
    assert "s3cret" in az.calls[2]["files"][1]
    assert "s3cret" not in result.stdout + result.stderr + " ".join(az.commands)


def test_a_webhooks_secret_that_is_not_there_is_named(webhook: Callable[..., Any], az: Az):
    result = webhook("--yes", path=az.folder)
    assert result.returncode == 2
    assert "the environment lacks SHOP_KEY" in result.stderr
    assert az.calls == []
    shown = webhook("--dry-run", "--setting", "OTHER", path=az.folder, OTHER="set")
    assert "<a file with OTHER, SHOP_KEY>" in shown.stdout
    assert "warning: not set in this environment: SHOP_KEY\n" in shown.stderr


def test_infrastructure_that_is_out_of_date_is_deployed_only_if_that_is_meant(
    project: Path, az: Az
):
    (project / MAIN).write_text((project / MAIN).read_text() + " ")
    arguments = ["deploy", "azure", "-g", "rg", "--zip", "app.zip", "--yes"]
    refused = ostinato(project, *arguments, path=az.folder)
    assert refused.returncode == 2
    assert f"{MAIN} not up to date: ostinato synth azure, or give --allow-stale" in refused.stderr
    assert az.calls == []
    assert ostinato(project, *arguments, "--allow-stale", path=az.folder).returncode == 0


def test_a_part_that_there_is_not_is_refused(project: Path, az: Az):
    arguments = ["deploy", "azure", "-g", "rg", "--dry-run", "--only"]
    unknown = ostinato(project, *arguments, "all", path=az.folder)
    assert unknown.returncode == 2
    assert "--only is one of infra, code, events, not 'all'" in unknown.stderr
    none = ostinato(project, *arguments, "events", path=az.folder)
    assert none.returncode == 2
    assert "no orchestration has a Blob trigger" in none.stderr


def test_infrastructure_alone_needs_no_package_and_code_alone_no_secrets(
    webhook: Callable[..., Any], project: Path, az: Az
):
    (project / "app.zip").unlink()
    infra = ["deploy", "azure", "-g", "rg", "--dry-run", "--only", "infra"]
    assert "ostinato build" not in ostinato(project, *infra, path=az.folder).stdout
    code = [*infra[:-1], "code"]
    result = ostinato(project, *code, path=az.folder)
    assert result.stdout.startswith("ostinato build azure")
    assert "SHOP_KEY" not in result.stdout + result.stderr
