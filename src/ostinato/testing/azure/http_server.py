"""An ASGI application on a port of 127.0.0.1, from a thread."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

START_TIMEOUT = 30.0
"""Seconds in which it must listen."""


class PortInUseError(Exception):
    """Something else listens there; the message names the port."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


class HttpServer:
    """Serves from now on, to this machine alone.

    Args:
        app: What answers.
        port: 0 for one that is free.

    Raises:
        PortInUseError: The port is taken.
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        # Named as TCP, or asyncio leaves Nagle's algorithm on: answers would wait for 40 ms.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise PortInUseError(f"port {port} cannot be used: {error.strerror}") from None
        self.port = int(self._socket.getsockname()[1])
        """The port that it listens on."""
        self._app = app
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",  # which uvicorn does not see in a method
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="functions-http"
        )
        self._thread.start()
        try:
            if not self._server.listens.wait(START_TIMEOUT):
                raise TimeoutError("the server did not start")
        except BaseException:
            self.close()
            raise

    def serve(self, app: ASGIApp) -> None:
        """Have another application answer: quicker than another server, which takes a while to
        end."""
        self._app = app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening; requests under way have five seconds."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
