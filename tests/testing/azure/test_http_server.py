"""An ASGI application on a port of this machine."""

from __future__ import annotations

import socket
from contextlib import closing

import httpx
import pytest
from starlette.responses import PlainTextResponse

from ostinato.testing.azure.http_server import HttpServer, PortInUseError


async def app(scope, receive, send):
    await PlainTextResponse(scope["path"])(scope, receive, send)


def test_it_serves_from_when_it_is_made_until_it_is_closed():
    with closing(HttpServer(app)) as server:
        assert httpx.get(f"{server.url}/path").text == "/path"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/path")


def test_another_application_may_answer_from_then_on():
    with closing(HttpServer(PlainTextResponse(status_code=503))) as server:
        assert httpx.get(server.url).status_code == 503
        server.serve(app)
        assert httpx.get(f"{server.url}/path").text == "/path"


def test_small_answers_do_not_wait_for_each_other():
    with closing(HttpServer(app)) as server, httpx.Client() as client:
        client.get(server.url)
        [connection] = server._server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named():
    server = HttpServer(app)
    with pytest.raises(PortInUseError, match=f"port {server.port} cannot be used"):
        HttpServer(app, server.port)
    server.close()
