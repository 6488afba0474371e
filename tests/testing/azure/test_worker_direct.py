"""The worker in this process: what goes in and out of a function."""

from __future__ import annotations

import threading

import azure.durable_functions as df  # pyright: ignore[reportMissingTypeStubs]
import azure.functions as func
import pytest

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
)
from ostinato.testing.azure.worker_direct import DirectWorker


@pytest.fixture
def app():
    return df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@pytest.fixture
def serve(app):
    workers = []

    def start():
        worker = DirectWorker(app)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


def test_functions_are_listed_with_their_bindings_as_often_as_a_worker_is_made(app, serve):
    @app.route(route="items/{id}", methods=["GET"])
    def item(req: func.HttpRequest) -> str:
        return str(req.route_params["id"])

    for worker in (serve(), serve()):
        (function,) = worker.functions
        assert function.name == "item"
        assert function.trigger == {
            "direction": "IN",
            "type": "httpTrigger",
            "name": "req",
            "methods": ["GET"],
            "authLevel": "ANONYMOUS",
            "route": "items/{id}",
        }
        assert [binding["type"] for binding in function.outputs] == ["http"]


def test_a_request_comes_whole_and_a_response_goes_back_whole(app, serve):
    @app.route(route="echo/{word}")
    def echo(req: func.HttpRequest) -> func.HttpResponse:
        text = f"{req.method} {req.url} {req.headers['x-a']} {req.params['q']}"
        response = func.HttpResponse(
            f"{text} {req.route_params['word']} {req.get_json()}", status_code=201
        )
        response.headers.add("Set-Cookie", "a=b; Path=/")
        return response

    request = Request(
        method="POST",
        url="http://localhost/api/echo/hi?q=1",
        headers={"X-A": "y"},
        query={"q": "1"},
        params={"word": "hi"},
        body=b'{"n": 1}',
    )
    assert serve().invoke(Invocation(function="echo", inputs={"req": request})).value == Response(
        status=201,
        headers={"content-type": "text/plain; charset=utf-8"},
        cookies=("a=b; Path=/",),
        body=b"POST http://localhost/api/echo/hi?q=1 y 1 hi {'n': 1}",
    )


def test_a_queue_message_has_its_metadata_and_outputs_are_given_by_name(app, serve):
    @app.queue_trigger(arg_name="msg", queue_name="in", connection="C")
    @app.queue_output(arg_name="out", queue_name="out", connection="C")
    def forward(msg: func.QueueMessage, out: func.Out[str], context: func.Context):
        out.set(f"{msg.id} {msg.dequeue_count} {msg.get_body().decode()} {context.function_name}")

    invocation = Invocation(
        function="forward",
        inputs={"msg": Text("body")},
        metadata={"Id": Text("7"), "DequeueCount": Json("2")},
    )
    outcome = Outcome(value=None, outputs={"out": Text("7 2 body forward")})
    assert serve().invoke(invocation) == outcome


def test_a_blob_comes_as_a_stream_that_knows_its_name_and_may_be_returned_elsewhere(app, serve):
    @app.blob_trigger(arg_name="blob", path="in/{name}", connection="C")
    @app.blob_output(arg_name="$return", path="out/{name}", connection="C")
    def copy(blob: func.InputStream) -> bytes:
        return f"{blob.name} {blob.length} ".encode() + blob.read()

    invocation = Invocation(
        function="copy",
        inputs={"blob": Binary(b"data")},
        metadata={"BlobTrigger": Text("in/a"), "Properties": Json('{"ContentLength": 4}')},
    )
    assert serve().invoke(invocation).value == Binary(b"in/a 4 data")


def test_a_raw_annotation_gets_the_text_as_it_is(app, serve):
    @app.queue_trigger(arg_name="msg", queue_name="in", connection="C")
    def take(msg: str) -> None:
        assert msg == '{"a": 1}'

    serve().invoke(Invocation(function="take", inputs={"msg": Text('{"a": 1}')}))


def test_a_failure_carries_type_message_and_stack(app, serve):
    @app.activity_trigger(input_name="name")
    async def fail(name: str):
        raise ValueError(f"no {name}")

    with pytest.raises(FunctionFailed) as caught:
        serve().invoke(Invocation(function="fail", inputs={"name": Text('"x"')}))
    assert caught.value.text == "ValueError: no x"
    assert 'raise ValueError(f"no {name}")' in caught.value.stack


def test_a_result_that_has_no_json_form_is_the_functions_failure(app, serve):
    @app.activity_trigger(input_name="name")
    def odd(name):
        return {1, 2}

    with pytest.raises(FunctionFailed, match=r"^ValueError: activity trigger output must be json"):
        serve().invoke(Invocation(function="odd", inputs={"name": Text("null")}))


def test_a_value_without_a_binding_to_take_it_is_a_failure(app, serve):
    @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
    def tick(timer: func.TimerRequest):
        return "something"

    with pytest.raises(FunctionFailed, match=r"without a \$return binding"):
        serve().invoke(Invocation(function="tick", inputs={"timer": Json("{}")}))


def test_an_asynchronous_function_does_not_hold_up_others(app, serve):
    import asyncio

    reached, finish = threading.Event(), asyncio.Event()

    @app.activity_trigger(input_name="name")
    async def wait(name):
        reached.set()
        await finish.wait()

    @app.activity_trigger(input_name="name")
    async def release(name):
        finish.set()

    worker = serve()
    waiting = threading.Thread(
        target=worker.invoke, args=[Invocation(function="wait", inputs={"name": Text("1")})]
    )
    waiting.start()
    assert reached.wait(10)
    worker.invoke(Invocation(function="release", inputs={"name": Text("1")}))
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_parameter_that_nothing_fills_is_named(app, serve):
    @app.activity_trigger(input_name="name")
    def two(name, other):
        return None

    with pytest.raises(IndexingFailed, match=r"function 'two' has parameters .*: other"):
        serve()
