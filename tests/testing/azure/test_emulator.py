"""Folders and packages of function apps, run by the emulator and by its command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from ostinato.testing.azure.emulator import Emulator
from ostinato.testing.azure.host_settings import SettingsError
from ostinato.testing.azure.http_server import HttpServer, PortInUseError
from ostinato.testing.azure.worker import IndexingFailed

ROOT = Path(__file__).parents[3]

APP = """
    import os
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="hello/{name}", methods=["GET"])
    def hello(req: func.HttpRequest) -> str:
        print("said hello", flush=True)
        return f"hello {req.route_params['name']} {os.environ.get('GREETING')}"

    @app.queue_trigger(arg_name="msg", queue_name="orders", connection="AzureWebJobsStorage")
    @app.blob_output(arg_name="$return", path="done/{id}", connection="AzureWebJobsStorage")
    def order(msg: func.QueueMessage) -> str:
        return msg.get_body().decode()

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 * * *")
    def tick(timer: func.TimerRequest):
        pass
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    write(folder, host={"version": "2.0"}, settings={"Values": {"GREETING": "from settings"}})
    return folder


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Where functions run in this process, the app's folder and its settings are let go again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def write(folder, *, app=APP, host=None, settings=None):
    (folder / "function_app.py").write_text(dedent(app))
    if host is not None:
        (folder / "host.json").write_text(json.dumps(host))
    if settings is not None:
        (folder / "local.settings.json").write_text(json.dumps(settings))


def emulate(source, *, use_azurite=False, **options):
    return Emulator(source, use_azurite=use_azurite, log=lambda line: None, **options)


def test_a_folder_is_run_with_its_settings_and_every_function_is_told_of(folder):
    with emulate(folder) as emulator:
        url = emulator.host.url
        assert httpx.get(f"{url}/api/hello/you").text == "hello you from settings"
        lines = "\n".join(emulator.lines())
    assert f"hello  GET {url}/api/hello/{{name}}" in lines
    assert "tick   timer 0 0 0 * * *" in lines
    assert "order  off: its connection, the app setting 'AzureWebJobsStorage', is not set" in lines
    assert "npm install azurite" in lines
    assert f"management API: {url}/runtime/webhooks/durabletask" in lines


def test_a_package_is_run_without_being_unpacked_first(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as package:
        for path in folder.iterdir():
            package.write(path, path.name)
    with emulate(tmp_path / "app.zip") as emulator:
        assert httpx.get(f"{emulator.host.url}/api/hello/zip").text.startswith("hello zip")


def test_the_environment_goes_before_the_settings_file(folder, monkeypatch):
    monkeypatch.setenv("GREETING", "from outside")
    with emulate(folder) as emulator:
        assert httpx.get(f"{emulator.host.url}/api/hello/a").text == "hello a from outside"


def test_a_storage_that_is_given_turns_the_triggers_on(folder, storage):
    with emulate(folder, storage=storage) as emulator:
        assert emulator.host.off == {}
        assert "order  queue orders" in "\n".join(emulator.lines())


def test_development_storage_is_an_azurite_of_its_own(folder, storage, monkeypatch):
    monkeypatch.chdir(ROOT)
    write(folder, settings={"Values": {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}})
    with emulate(folder, use_azurite=True) as emulator:
        assert emulator.host.off == {}
        assert "an Azurite of its own" in next(emulator.lines())


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("import nothing_of_this_name", r"No module named 'nothing_of_this_name'"),
        ("x = 1\nx.nothing", r"AttributeError: .*\n  .*function_app\.py:2: x\.nothing"),
        ("x = 1", "function app"),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why_and_where(folder, app, why):
    write(folder, app=app)
    with pytest.raises(IndexingFailed, match=why):
        emulate(folder)


def test_what_is_no_function_app_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"there is no host\.json"):
        emulate(tmp_path)
    with pytest.raises(SettingsError, match="there is no folder or zip file"):
        emulate(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="neither a folder nor a zip file"):
        emulate(tmp_path / "file")


def test_a_port_that_is_taken_is_told(folder):
    async def nothing(scope, receive, send):
        raise AssertionError

    server = HttpServer(nothing)
    with pytest.raises(PortInUseError):
        emulate(folder, port=server.port)
    server.close()


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ostinato.cli", "emulate", "azure", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'adapters'}"},
        **options,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_an_app_until_it_is_interrupted(folder, how):
    process = command(folder, "--port", "0", "--no-azurite")
    assert process.stdout is not None
    lines = list[str]()
    while not lines or not lines[-1].startswith("press Ctrl-C"):
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
    (url,) = [line.split()[-1] for line in lines if "management API" in line]
    answer = httpx.get(url.replace("/runtime/webhooks/durabletask", "/api/hello/you"))
    assert answer.text == "hello you from settings"
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "said hello" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: there is no folder or zip file nowhere\n"),
        ([".", "--python", "nowhere"], "error: there is no interpreter nowhere\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    process = command(*arguments, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, message)
