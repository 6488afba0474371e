"""HTTP-triggered functions as an ASGI application."""

from __future__ import annotations

import azure.functions as func
import httpx
import pytest

from ostinato.testing.azure.http_functions import HttpFunctions
from ostinato.testing.azure.http_routes import Routes
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker


@pytest.fixture
def app():
    return func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@pytest.fixture
def log():
    return []


@pytest.fixture
def ask(app, log):
    workers = []

    def send(method, path, **options):
        import anyio

        worker = DirectWorker(app)
        workers.append(worker)
        client_text = ClientBindings(lambda binding: "client")
        calling = Calling(worker=lambda: worker, bindings=client_text, log=log.append)
        routes = Routes(worker.functions, "api")
        served = HttpFunctions(lambda: routes, calling)

        async def ask():
            transport = httpx.ASGITransport(app=served)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
                return await client.request(method, path, **options)

        return anyio.run(ask)

    yield send
    for worker in workers:
        worker.close()


def test_a_request_reaches_its_function_and_the_answer_its_sender(app, ask):
    @app.route(route="items/{id}", methods=["PUT"])
    def item(req: func.HttpRequest) -> func.HttpResponse:
        text = f"{req.url} {req.route_params} {dict(req.params)} {req.headers['x-a']}"
        response = func.HttpResponse(f"{text} {req.get_body().decode()}", status_code=201)
        response.headers.add("Set-Cookie", "a=b")
        response.headers.add("Set-Cookie", "c=d")
        return response

    answer = ask("PUT", "/api/items/7?q=1", headers={"X-A": "y"}, content=b"body")
    assert answer.status_code == 201
    assert answer.text == "http://host/api/items/7?q=1 {'id': '7'} {'q': '1'} y body"
    assert answer.headers.get_list("set-cookie") == ["a=b", "c=d"]


def test_a_text_is_an_answer_and_no_function_is_404(app, ask):
    @app.route(route="hello")
    async def hello(req: func.HttpRequest) -> str:
        return "hi"

    answer = ask("GET", "/api/hello")
    assert (answer.status_code, answer.text) == (200, "hi")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert ask("GET", "/api/other").status_code == 404


def test_a_function_that_raises_is_500_without_a_word_and_a_word_in_the_log(app, ask, log):
    @app.route(route="fail")
    def fail(req: func.HttpRequest) -> str:
        raise ValueError("secret")

    answer = ask("GET", "/api/fail")
    assert (answer.status_code, answer.text) == (500, "")
    assert log == ["fail failed: ValueError: secret"]


def test_a_binding_that_cannot_be_served_is_500_and_named_in_the_log(app, ask, log):
    @app.route(route="rows")
    @app.generic_input_binding(arg_name="rows", type="sql")
    def rows(req: func.HttpRequest, rows) -> str:
        return "never"

    assert ask("GET", "/api/rows").status_code == 500
    assert "no binding of type 'sql'" in log[0]
