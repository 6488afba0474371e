"""Folders and packages of function apps, run by the emulator and by its command."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from textwrap import dedent

import azure.functions as func
import httpx
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing.azure.azurite import KNOWN_KEY, Azurite, find_azurite, running_azurite
from ostinato.testing.azure.emulator import Emulator
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import SettingsError
from ostinato.testing.azure.http_server import HttpServer, PortInUseError
from ostinato.testing.azure.worker import IndexingFailed, readable
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from ostinato_azure.packaging.files import project_files

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
    assert "queue and blob triggers need storage; --storage names one" in lines
    assert "npm" not in lines
    assert f"management API: {url}/runtime/webhooks/durabletask" in lines


def test_a_key_of_host_json_that_means_nothing_is_told(folder):
    write(folder, host={"version": "2.0", "extension": {}})
    with emulate(folder) as emulator:
        told, *_ = emulator.lines()
    assert told == (
        "warning: host.json: 'extension' means nothing to Azure's host: is it 'extensions'?"
    )


def test_where_azurite_is_missing_it_is_told_how_to_get_it(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    with emulate(folder, use_azurite=True) as emulator:
        assert "npm install azurite" in "\n".join(emulator.lines())


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


PLAIN = {"messageEncoding": "none"}
DEVELOPMENT = {"Values": {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}}


STORES = """
    import os
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="storage")
    def storage(req: func.HttpRequest) -> str:
        return os.environ["AzureWebJobsStorage"]
"""


def is_of(connection, emulator):
    """Whether the app has the storage that one reaches there."""
    with BlobServiceClient.from_connection_string(connection) as blobs:
        blobs.create_container("reached")
    return httpx.get(f"{emulator.host.url}/api/storage").text == connection


@pytest.mark.parametrize("settings", [{}, DEVELOPMENT])
def test_an_azurite_of_its_own_is_reached_by_what_is_told(folder, storage, monkeypatch, settings):
    monkeypatch.chdir(ROOT)
    write(folder, app=STORES, settings=settings)
    nowhere = {"Blob": 1, "Queue": 1, "Table": 1}
    with emulate(folder, use_azurite=True, azurite_ports=nowhere) as emulator:
        said, told, *_ = emulator.lines()
        assert "an Azurite of its own" in said
        assert is_of(told.partition('"')[2].rstrip('"'), emulator)


def test_development_storage_is_the_azurite_that_runs_where_tools_look(folder, storage):
    write(folder, app=STORES, settings=DEVELOPMENT)
    program = find_azurite(ROOT)
    assert program is not None
    with Azurite(program, key=KNOWN_KEY) as running:
        found = re.findall(r"(\w+)Endpoint=http://127.0.0.1:(\d+)/", running.connection_string)
        ports = {service: int(port) for service, port in found}
        with emulate(folder, use_azurite=True, azurite_ports=ports) as emulator:
            (said, *_) = emulator.lines()
            assert said.startswith(f"storage is the Azurite that runs at port {ports['Blob']} ")
            assert is_of(running_azurite(ports), emulator)


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (
            "import nothing_of_this_name",
            (
                r"^ModuleNotFoundError: No module named 'nothing_of_this_name'\n"
                r"  .*function_app\.py:1: import nothing_of_this_name\n"
                r"hint: .*python\S* runs the functions: install what has .*$"
            ),
        ),
        ("x = 1\nx.nothing", r"AttributeError: .*\n  .*function_app\.py:2: x\.nothing"),
        ("x = 1", "function app"),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why_and_where_and_nothing_else(folder, app, why):
    write(folder, app=app)
    lines = list[str]()
    with pytest.raises(IndexingFailed, match=why):
        Emulator(folder, use_azurite=False, log=lines.append)
    assert lines == []


FORGETFUL = """
    import ostinato as ost
    import ostinato_azure

    began = []
    ours = ost.App("forgetful")

    @ours.activity
    def step1(): ...

    @ours.activity
    def step2(): ...

    @ours.orchestration
    def steps(ctx: ost.OrchestrationContext):
        began.append(1)
        yield ctx.call_activity(f"step{len(began)}")

    app = ostinato_azure.function_app(ours)
"""


@pytest.mark.parametrize(("always", "status"), [(False, "Completed"), (True, "Failed")])
def test_what_is_not_deterministic_fails_where_every_turn_is_replayed(folder, always, status):
    write(folder, app=FORGETFUL)
    with emulate(folder, replay_always=always) as emulator:
        client = AzureClient(emulator.host.url)
        client.start("steps", instance_id="one")
        emulator.host.settle()
        found = client.get_status("one")
        client.close()
    assert found.runtime_status == status
    assert found.failure is None or found.failure.type == "NonDeterminismError"


WAITS = """
    import ostinato as ost
    import ostinato_azure

    ours = ost.App("waits")

    @ours.activity
    def first(): ...

    @ours.activity
    def second(): ...

    @ours.orchestration
    def waits(ctx: ost.OrchestrationContext):
        yield ctx.call_activity(first)
        yield ctx.wait_for_external_event("go")
        yield ctx.call_activity(second)

    app = ostinato_azure.function_app(ours)
"""


def in_its_own_process():
    if importlib.util.find_spec("azure_functions_runtime") is None:
        pytest.skip("azure-functions-runtime, Microsoft's worker library, needs Python 3.13")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("call_activity(second)", "call_activity(first)"), "Completed"),
        (("call_activity(first)", "call_activity(second)"), "Failed"),
    ],
)
def test_a_restart_goes_on_with_the_code_as_it_is_now(folder, change, status):
    in_its_own_process()
    write(folder, app=WAITS)
    lines = list[str]()
    with Emulator(folder, use_azurite=False, log=lines.append) as emulator:
        client = AzureClient(emulator.host.url)
        client.start("waits", instance_id="one")
        emulator.host.settle()
        write(folder, app="import nothing_of_this_name")
        failed = httpx.post(f"{emulator.host.url}/admin/host/restart", timeout=60)
        assert (failed.status_code, failed.text[:24]) == (400, "the code before goes on:")
        write(folder, app=WAITS.replace(*change))
        again = httpx.post(f"{emulator.host.url}/admin/host/restart", timeout=60)
        assert again.status_code == 200
        client.raise_event("one", "go")
        emulator.host.settle()
        assert client.get_status("one").runtime_status == status
        client.close()
    assert [line for line in lines if "loaded again" in line] == ["loaded again: 6 functions"]


BUSY = """
    import threading
    import azure.functions as func
    import ostinato as ost
    import ostinato_azure

    VERSION = 1

    def work(what):
        if VERSION == 1:
            print("began", what, flush=True)
            threading.Event().wait()
        print("done", what, flush=True)
        return what

    ours = ost.App("busy")

    @ours.activity
    def runs() -> str:
        return work("activity")

    @ours.orchestration
    def turns(ctx: ost.OrchestrationContext):
        yield ctx.wait_for_external_event("go")
        return work("turn")

    @ours.orchestration
    def asks(ctx: ost.OrchestrationContext):
        return (yield ctx.call_activity(runs))

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="asked")
    def asked(req: func.HttpRequest) -> str:
        return work("request")

    @app.queue_trigger(arg_name="msg", queue_name="busy", connection="AzureWebJobsStorage")
    def told(msg: func.QueueMessage) -> None:
        work("message")

    ostinato_azure.function_app(ours, functions=app)
"""


def test_what_a_restart_ends_is_done_again_by_the_new_code(folder, storage):
    in_its_own_process()
    write(folder, app=BUSY, host={"version": "2.0", "extensions": {"queues": PLAIN}})
    lines = list[str]()
    came = threading.Condition()

    def log(line):
        with came:
            lines.append(line)
            came.notify_all()

    def said(word):
        wanted = [f"{word} {what}" for what in ("activity", "turn", "request", "message")]
        with came:
            assert came.wait_for(lambda: {*wanted} <= {*lines}, 60), lines

    with (
        Emulator(folder, storage=storage, log=log) as emulator,
        closing(AzureClient(emulator.host.url)) as client,
        QueueServiceClient.from_connection_string(storage) as queues,
        ThreadPoolExecutor(1) as pool,
    ):
        client.start("asks", instance_id="one")
        client.start("turns", instance_id="two")
        client.raise_event("two", "go")
        request = pool.submit(httpx.get, f"{emulator.host.url}/api/asked", timeout=60)
        queues.create_queue("busy").send_message("one")
        said("began")
        write(folder, app=BUSY.replace("VERSION = 1", "VERSION = 2"))
        httpx.post(f"{emulator.host.url}/admin/host/restart", timeout=60).raise_for_status()
        said("done")
        assert request.result().text == "request"
        assert client.wait("one", timeout=60).output == "activity"
        assert client.wait("two", timeout=60).output == "turn"
    assert [line for line in lines if "failed" in line or "exited" in line] == []


def test_an_app_in_the_hosts_process_is_not_restarted(folder):
    app = func.FunctionApp()
    with FunctionsHost(DirectWorker(app)) as host:
        refused = httpx.post(f"{host.url}/admin/host/restart")
    assert refused.status_code == 501
    assert refused.text == (
        "the app cannot be loaded again: its functions run in the host's process; they have one of"
        " their own on Python 3.13 or newer, with azure-functions-runtime"
    )


def test_where_functions_run_in_the_hosts_process_it_is_told_what_they_need(folder):
    if importlib.util.find_spec("azure_functions_runtime") is not None:
        pytest.skip("they run in a process of their own")
    with emulate(folder) as emulator:
        (told,) = [line for line in emulator.lines() if "functions run in this process" in line]
    assert told.endswith(
        "has no azure-functions-runtime, which needs Python 3.13 or newer"
        " (--python names one that has it)"
    )


def test_an_interpreter_without_the_worker_library_is_told_what_that_needs(folder, tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(IndexingFailed, match=r"needs Python 3\.13 or newer") as caught:
        emulate(folder, python=python)
    assert str(caught.value).startswith(f"{python} cannot run functions: No module named")


ENDS = """
    import ostinato as ost
    import ostinato_azure

    ours = ost.App("ends")

    @ours.activity
    def pay(card: str):
        raise ValueError("declined")

    @ours.orchestration
    def order(ctx: ost.OrchestrationContext, card: str):
        yield ctx.call_activity(pay, card)

    @ours.orchestration
    def shop(ctx: ost.OrchestrationContext, card: str):
        yield ctx.call_sub_orchestrator(order, card)

    @ours.orchestration
    def waits(ctx: ost.OrchestrationContext):
        yield ctx.wait_for_external_event("go")

    app = ostinato_azure.function_app(ours, grpc=GRPC)
"""


@pytest.mark.parametrize("grpc", [False, True])
def test_instances_that_fail_are_told_of_once_on_every_wire_and_their_payloads_are_not(
    folder, caplog, grpc
):
    write(folder, app=ENDS.replace("GRPC", str(grpc)))
    lines = list[str]()
    with Emulator(folder, use_azurite=False, log=lines.append) as emulator:
        hub = emulator.host.hub
        hub.start("shop", '"4111"', instance_id="one")
        emulator.host.settle()
        hub.start("nothing", instance_id="two")
        emulator.host.settle()
        hub.start("waits", instance_id="three")
        emulator.host.settle()
        hub.terminate("three", "not wanted")
        emulator.host.settle()
    child, *others = [line for line in lines if "instance" in line]
    assert re.fullmatch(r"instance \S+ of 'order' failed: ValueError: declined", child)
    why = "The function 'nothing' doesn't exist, is disabled, or is not an orchestrator function."
    assert others == [
        "instance one of 'shop' failed: ValueError: declined",
        f"instance two of 'nothing' failed: {why}",
        "instance three of 'waits' was terminated: not wanted",
    ]
    assert "4111" not in "".join(lines)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


FAILING = """
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="fail")
    def fail(req: func.HttpRequest) -> str:
        return req.get_json()
"""


def test_a_function_that_fails_is_told_with_the_apps_own_line_and_none_of_the_libraries(folder):
    write(folder, app=FAILING)
    lines = list[str]()
    with Emulator(folder, use_azurite=False, log=lines.append) as emulator:
        assert httpx.get(f"{emulator.host.url}/api/fail").status_code == 500
    (told,) = [line for line in lines if "failed" in line]
    what, where = told.splitlines()
    assert what.startswith("fail failed: ValueError: ")
    assert where == f"  {folder / 'function_app.py'}:8: return req.get_json()"


def test_an_application_that_is_not_wrapped_is_told_with_the_mend(folder):
    write(folder, app='import ostinato\n\nours = ostinato.App("bare")\n')
    with pytest.raises(IndexingFailed) as caught:
        emulate(folder)
    assert str(caught.value).partition("\n")[2] == (
        "hint: 'ours' is an application and no function app yet:"
        " app = ostinato_azure.function_app(ours)"
    )


def with_an_environment(folder, library):
    """Makes a virtual environment within a project, as people do, that has a module."""
    environment = folder / ".venv"
    packages = environment / "lib" / "python" / "site-packages"
    packages.mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("")
    (packages / "refusing.py").write_text(dedent(library))
    return f"import sys; sys.path.insert(0, {str(packages)!r}); sys.modules.pop('refusing', None)"


def test_what_a_library_refuses_is_told_with_the_users_own_line(folder):
    first = with_an_environment(folder, "def check(cron): raise ValueError(f'no {cron}')")
    write(folder, app=f"{first}\nimport refusing\n\nrefusing.check('61 * * * *')\n")
    with pytest.raises(IndexingFailed) as caught:
        emulate(folder)
    assert str(caught.value) == (
        f"ValueError: no 61 * * * *\n  {folder / 'function_app.py'}:4: refusing.check('61 * * * *')"
    )


def test_what_ostinato_refuses_is_told_with_the_users_own_line_even_beside_its_source(folder):
    stack = f"""Traceback (most recent call last):
  File "{ROOT / "orchestrations" / "app.py"}", line 7, in <module>
    ost.Schedule("61 * * * *")
  File "<string>", line 4, in __init__
  File "{ROOT / "src" / "ostinato" / "triggers.py"}", line 135, in __post_init__
    _check_cron(self.cron)
  File "{ROOT / "adapters" / "ostinato_azure" / "functions.py"}", line 1, in x
RegistrationError: no
"""
    assert readable("RegistrationError: no", stack, ROOT, Path(sys.executable)) == (
        "RegistrationError: no\n"
        f'  {ROOT / "orchestrations" / "app.py"}:7: ost.Schedule("61 * * * *")'
    )


SECRET = "AccountKey=c2VjcmV0"


@pytest.mark.parametrize("storage", ["foo", SECRET, f"AccountName=a;{SECRET}s"])
def test_a_storage_that_is_no_connection_string_is_told_by_where_it_came_from(
    folder, monkeypatch, storage
):
    looks = "one is like DefaultEndpointsProtocol=https;AccountName=<name>;AccountKey=<key>"

    def told(**options):
        with pytest.raises(SettingsError) as caught:
            emulate(folder, **options)
        where, _, mend = str(caught.value).partition(" is no connection string")
        assert looks in mend and storage not in mend and "\n" not in mend
        return where

    write(folder, settings={"Values": {"AzureWebJobsStorage": storage}})
    assert told() == "AzureWebJobsStorage in local.settings.json"
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    assert told() == "AzureWebJobsStorage in the environment"
    assert told(storage=storage) == "--storage"


def test_another_connection_that_is_none_turns_its_triggers_off(folder, monkeypatch):
    write(
        folder,
        app=APP.replace(
            'queue_name="orders", connection="AzureWebJobsStorage"',
            'queue_name="orders", connection="Orders"',
        ),
    )
    monkeypatch.setenv("Orders", SECRET)
    with emulate(folder) as emulator:
        told = "\n".join(emulator.lines())
    assert "order  off: the app setting 'Orders' is no connection string" in told
    assert SECRET not in told


def test_what_is_told_of_an_azurite_of_its_own_is_no_secret_to_a_build(
    folder, storage, monkeypatch
):
    monkeypatch.chdir(ROOT)
    with emulate(folder, use_azurite=True) as emulator:
        lines = "\n".join(emulator.lines())
    assert "AccountKey=" in lines
    (folder / "emulator.txt").write_text(lines)
    assert "emulator.txt" in project_files(folder)


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


@pytest.fixture
def start():
    """Starts the command: gives it, the lines it has printed, and the URL where the app is."""
    processes = []

    def started(folder):
        process = command(folder, "--port", "0", "--no-azurite")
        processes.append(process)
        assert process.stdout is not None
        lines = list[str]()
        while not lines or not lines[-1].startswith("press Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()[1]
        (url,) = [line.split()[-1] for line in lines if "management API" in line]
        return process, lines, url.removesuffix("/runtime/webhooks/durabletask")

    yield started
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_an_app_until_it_is_interrupted(folder, start, how):
    process, _, url = start(folder)
    assert httpx.get(f"{url}/api/hello/you").text == "hello you from settings"
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "said hello" in out


SLOW = """
    import threading
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="forever")
    def forever(req: func.HttpRequest) -> str:
        print("began", flush=True)
        threading.Event().wait()
"""


@pytest.mark.parametrize(("again", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_command_at_once(folder, start, again, code):
    write(folder, app=SLOW)
    process, _, url = start(folder)
    assert process.stdout is not None

    def ask():
        with suppress(httpx.TransportError):  # or an answer that it was cut off
            httpx.get(f"{url}/api/forever", timeout=120)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().startswith("ending; what runs is waited for")
    process.send_signal(again)
    process.communicate(timeout=30)
    assert process.returncode == code
    asking.join()


def test_two_signals_one_upon_the_other_leave_nothing_hanging(folder, start):
    process, _, _ = start(folder)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (0, 130)  # the system may make one of two


OURS = """
    import ostinato as ost
    import ostinato_azure

    ours = ost.App("unwritten-host")
    app = ostinato_azure.function_app(ours)
"""


def test_a_folder_without_a_host_json_is_run_with_what_synth_writes(tmp_path, start):
    write(tmp_path, app=OURS)
    process, lines, url = start(tmp_path)
    assert httpx.get(f"{url}/admin/host/status").json()["id"] == "unwrittenhost"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert "no host.json: this is with what `ostinato synth azure` writes\n" in lines[0]
    assert not (tmp_path / "host.json").exists()


STORAGE_IS = (
    "connection string of a storage account: one is like DefaultEndpointsProtocol=https;"
    "AccountName=<name>;AccountKey=<key>;EndpointSuffix=core.windows.net"
)


def test_a_storage_from_the_environment_is_not_said_to_be_the_commands(folder, monkeypatch):
    monkeypatch.setenv("AzureWebJobsStorage", "k3y")
    assert told(folder) == f"error: AzureWebJobsStorage in the environment is no {STORAGE_IS}\n"


def test_a_screen_that_is_gone_ends_nothing_that_runs(folder, start):
    write(folder, app=ENDS.replace("GRPC", "False"))
    process, _, url = start(folder)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    client = AzureClient(url)
    for instance in ("one", "two"):
        client.start("order", "4111", instance_id=instance)
        assert client.wait(instance, timeout=30).runtime_status == "Failed"
    client.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: there is no folder or zip file nowhere\n"),
        ([".", "--python", "nowhere"], "error: there is no interpreter nowhere\n"),
        (
            [ROOT / "tests/testing/azure/apps/plain", "--storage", "k3y"],
            f"error: --storage is no {STORAGE_IS}\n",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    process = command(*arguments, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, message)


def told(folder):
    """What the command tells of a folder that it does not run."""
    process = command(".", "--no-azurite", cwd=folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    return err


def test_a_mistake_in_the_application_is_told_as_it_is_where_host_json_is_to_be_written(tmp_path):
    write(tmp_path, app=OURS)
    (tmp_path / "pyproject.toml").write_text('[tool.ostinato]\napp = "flows:app"\n')
    (tmp_path / "flows.py").write_text(
        """import ostinato\n\napp = ostinato.App("twice")\napp.activity(name="a")(print)\n"""
        """app.activity(name="a")(repr)\n"""
    )
    assert told(tmp_path) == (
        "error: module 'flows' cannot be imported: RegistrationError: activity 'a' is registered"
        f" twice; give one of them name=...\n  {tmp_path / 'flows.py'}:5:"
        ' app.activity(name="a")(repr)\n'
    )
    (tmp_path / "flows.py").write_text("")
    assert told(tmp_path) == (
        f"error: there is no host.json in {tmp_path}, and none can be written:"
        " module 'flows' has no app 'app'; there are none\n"
    )


def test_what_a_folder_lacks_is_told_with_the_mend(tmp_path, start):
    assert told(tmp_path).splitlines()[-1] == (
        'hint: name the application in pyproject.toml: [tool.ostinato] app = "module:attribute"'
    )
    (tmp_path / "flows.py").write_text('import ostinato\n\nmine = ostinato.App("mine")\n')
    err = told(tmp_path)
    assert err.startswith(f"error: there is no function_app.py in {tmp_path}\nhint: write one")
    (tmp_path / "function_app.py").write_text(err.partition(":\n\n")[2])
    process, _, _ = start(tmp_path)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
