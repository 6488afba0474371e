"""Microsoft's own worker library in a process of its own, on apps as they are deployed."""

from __future__ import annotations

import importlib.util
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from ostinato.testing.azure.deployments import Undeployed
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.worker import (
    Binary,
    IndexingFailed,
    Invocation,
    Json,
    Outcome,
    Request,
    Response,
    Text,
    WorkerLost,
)
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato.testing.azure.worker_library import LibraryWorker

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("azure_functions_runtime") is None,
    reason="azure-functions-runtime, Microsoft's worker library, needs Python 3.13",
)

APP = """
    import os, sys, pathlib
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


@pytest.fixture
def serve(tmp_path):
    workers = []

    def start(body, **options):
        (tmp_path / "function_app.py").write_text(dedent(APP) + dedent(body))
        workers.append(LibraryWorker(tmp_path, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


ACTIVITIES = """
    @app.generic_trigger(arg_name="x", type="activityTrigger")
    def double(x: int) -> int:
        return x * 2

    @app.generic_trigger(arg_name="x", type="activityTrigger")
    async def fail(x):
        raise ValueError(f"no {x}")

    @app.generic_trigger(arg_name="x", type="activityTrigger")
    def die(x):
        os._exit(3)

    @app.generic_trigger(arg_name="x", type="activityTrigger")
    def say(x):
        print("said", x, flush=True)
"""


def act(name, text):
    return Invocation(function=name, inputs={"x": Text(text)})


def test_functions_are_listed_and_called_with_data_and_answer_with_data(serve):
    worker = serve(ACTIVITIES)
    assert [f.name for f in worker.functions] == ["double", "fail", "die", "say"]
    assert worker.functions[0].trigger["type"] == "activityTrigger"
    assert worker.invoke(act("double", "21")) == Outcome(value=Json("42"))


def test_a_failure_carries_type_message_and_stack(serve):
    with pytest.raises(FunctionFailed) as caught:
        serve(ACTIVITIES).invoke(act("fail", "7"))
    assert caught.value.text == "ValueError: no 7"
    assert 'raise ValueError(f"no {x}")' in caught.value.stack


def test_a_worker_that_dies_loses_its_calls_and_the_next_call_starts_another(serve):
    worker = serve(ACTIVITIES)
    with pytest.raises(WorkerLost, match="exited with code 3"):
        worker.invoke(act("die", "0"))
    assert worker.invoke(act("double", "1")) == Outcome(value=Json("2"))
    worker.restart()
    assert worker.invoke(act("double", "2")) == Outcome(value=Json("4"))


def test_a_worker_that_dies_is_told_of_and_so_is_the_next_one(serve):
    lines = list[str]()
    worker = serve(ACTIVITIES, on_line=lines.append)
    with pytest.raises(WorkerLost):
        worker.invoke(act("die", "0"))
    worker.invoke(act("double", "1"))
    worker.close()
    assert [line for line in lines if line.startswith("the worker")] == [
        "the worker process exited with code 3, unexpectedly",
        "the worker process was started again",
    ]


def test_an_app_that_is_spoiled_while_its_worker_dies_fails_what_it_was_to_do(serve, tmp_path):
    functions = DurableFunctions(
        serve(
            """
            @app.generic_trigger(arg_name="x", type="orchestrationTrigger")
            def die(x) -> str:
                pathlib.Path(__file__).write_text("import nothing_of_this_name")
                os._exit(3)
            """
        ),
        ClientBindings(lambda binding: "client"),
    )
    with pytest.raises(FunctionFailed, match="No module named 'nothing_of_this_name'"):
        functions.orchestrate("die", "0")


def test_a_worker_that_is_closed_says_so_to_calls_that_wait_and_to_those_that_come(serve):
    began = threading.Event()
    worker = serve(
        """
        import threading

        @app.generic_trigger(arg_name="x", type="activityTrigger")
        def waits(x):
            print("began", flush=True)
            threading.Event().wait()
        """,
        on_line=lambda line: began.set(),
    )
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(worker.invoke, act("waits", "1"))
        assert began.wait(10)
        worker.close()
        with pytest.raises(Undeployed):
            waiting.result()
    with pytest.raises(Undeployed, match="closed"):
        worker.invoke(act("waits", "1"))


def test_what_functions_print_reaches_the_host_line_by_line(serve):
    printed = threading.Event()

    def on_line(line):
        if line == "said 1":
            printed.set()

    serve(ACTIVITIES, on_line=on_line).invoke(act("say", "1"))
    assert printed.wait(10)


def test_calls_run_side_by_side(serve):
    worker = serve(
        """
        import threading
        both = threading.Barrier(2, timeout=10)

        @app.generic_trigger(arg_name="x", type="activityTrigger")
        def meet(x):
            both.wait()
            return x
        """
    )
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(worker.invoke, [act("meet", "1"), act("meet", "2")]))
    assert outcomes == [Outcome(value=Json("1")), Outcome(value=Json("2"))]


def test_http_messages_queue_metadata_and_outputs_cross_whole(serve):
    worker = serve(
        """
        @app.route(route="echo/{word}")
        def echo(req: func.HttpRequest) -> func.HttpResponse:
            response = func.HttpResponse(f"{req.route_params['word']} {req.get_json()}".encode())
            response.headers.add("Set-Cookie", "a=b; Path=/; Secure; SameSite=Lax")
            return response

        @app.queue_trigger(arg_name="msg", queue_name="in", connection="C")
        @app.queue_output(arg_name="out", queue_name="out", connection="C")
        def forward(msg: func.QueueMessage, out: func.Out[bytes]):
            out.set(f"{msg.id} {msg.dequeue_count} ".encode() + msg.get_body())
        """
    )
    request = Request(
        method="POST", url="http://l/api/echo/hi", params={"word": "hi"}, body=b'{"n": 1}'
    )
    assert worker.invoke(Invocation(function="echo", inputs={"req": request})).value == Response(
        status=200,
        headers={"content-type": "text/plain; charset=utf-8"},
        cookies=("a=b; Path=/; Secure; SameSite=Lax",),
        body=b"hi {'n': 1}",
    )
    invocation = Invocation(
        function="forward",
        inputs={"msg": Text("body")},
        metadata={"Id": Text("7"), "DequeueCount": Json("2")},
    )
    assert worker.invoke(invocation).outputs == {"out": Binary(b"7 2 body")}


def test_settings_are_the_environment_and_the_apps_own_packages_come_first(serve, tmp_path):
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "msgspec.py").write_text("own = True")
    worker = serve(
        """
        import msgspec

        @app.generic_trigger(arg_name="x", type="activityTrigger")
        def look(x):
            here = pathlib.Path(__file__).parent == pathlib.Path.cwd()
            return [msgspec.own, os.environ["SETTING"], here]
        """,
        settings={"SETTING": "s"},
    )
    assert worker.invoke(act("look", "1")).value == Json('[true, "s", true]')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this"),
        ("app = None", "Could not find top level function app instances"),
        ("os._exit(9)", "exited with code 9"),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why(serve, body, message):
    with pytest.raises(IndexingFailed, match=message):
        serve(body)


def test_an_interpreter_named_from_here_is_found_from_the_apps_folder(serve, monkeypatch):
    python = Path(sys.executable)
    monkeypatch.chdir(python.parent.parent)
    worker = serve(ACTIVITIES, python=Path(python.parent.name) / python.name)
    assert worker.invoke(act("double", "1")) == Outcome(value=Json("2"))


def test_a_folder_without_an_app_says_so(tmp_path):
    with pytest.raises(IndexingFailed, match=r"there is no function_app\.py in"):
        LibraryWorker(tmp_path)


def test_an_app_that_brings_its_packages_has_them_and_nothing_of_this_environment(serve, tmp_path):
    serve(
        f"\n    import pytest{ACTIVITIES}"
    )  # without packages of its own the environment's are there
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "brought.py").write_text("")
    with pytest.raises(IndexingFailed, match="No module named 'pytest'"):
        serve(f"\n    import pytest{ACTIVITIES}")
    assert serve(f"\n    import brought, sqlite3, werkzeug{ACTIVITIES}").functions
