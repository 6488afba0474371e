"""A stand-in of the Functions host: one function app with all that is around it.

HTTP functions under the route prefix, the management API at ``/runtime/webhooks/durabletask``
and, for clients inside the app, at ``/durabletask`` or over gRPC, the triggers, and the task hub.
Everything is on 127.0.0.1.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Router
from starlette.routing import Route as HttpRoute

from ostinato.local.clock import Clock, SystemClock
from ostinato.testing.azure.binding import Webhook, client_payload
from ostinato.testing.azure.host_settings import AppSettings, HostJson
from ostinato.testing.azure.http_functions import HttpFunctions
from ostinato.testing.azure.http_routes import Route, Routes
from ostinato.testing.azure.http_server import HttpServer
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.management import WEBHOOK, ManagementApi
from ostinato.testing.azure.ports import Log
from ostinato.testing.azure.sidecar import SidecarServer
from ostinato.testing.azure.triggers import Calling, Poller
from ostinato.testing.azure.triggers_found import FoundTriggers
from ostinato.testing.azure.worker import (
    NEEDED_PYTHON,
    Binding,
    Data,
    Function,
    IndexingFailed,
    Json,
    Text,
    Worker,
)
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato.testing.azure.worker_storage import StorageBindings

RPC = "/durabletask"

_logger = logging.getLogger(__name__)


class FunctionsHost:
    """A running function app; a context manager.

    Args:
        worker: Runs the functions. It is the caller's to close, after the host.
        host_json: The app's.
        settings: The app's; the triggers' connections to storage are among them.
        clock: The time of durable timers and timer triggers.
        port: 0 for one that is free.
        log: Takes lines for people: of functions that failed, and of instances that failed or were
            terminated. By default they are logged as information.
        folder: Where the app's own code is: its lines are told with a function's failure.
        restart: Has the app loaded again, for ``POST /admin/host/restart``; None where it cannot.
        key: The key that the management API's URLs hold and ask for; with none it asks for none.
        server: One that has served a host before, to serve this one and live on after it; by
            default one on ``port``.

    Raises:
        PortInUseError: The port is taken.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        host_json: HostJson | None = None,
        settings: AppSettings | None = None,
        clock: Clock | None = None,
        port: int = 0,
        log: Log = _logger.info,
        folder: Path | None = None,
        restart: Callable[[], None] | None = None,
        key: str = "",
        server: HttpServer | None = None,
    ) -> None:
        self._json = host_json or HostJson()
        self._settings = settings or AppSettings()
        self._clock = clock or SystemClock()
        self._log = log
        self._key = key
        self._restart = restart
        self._worker = worker
        self._calling = Calling(
            worker=lambda: self._worker, bindings=self._bindings(), log=log, folder=folder
        )
        self._retiring = list[threading.Thread]()
        self._sidecar: SidecarServer | None = None
        self._served = self._serve()
        functions = self._durable(worker)
        self.hub = TaskHub(
            functions,
            clock=self._clock,
            options=self._json.hub,
            name=self._json.hub_name,
            log=log,
        )
        """The app's task hub."""
        self._owned: HttpServer | None = None
        try:
            if server is None:
                server = self._owned = HttpServer(self._router(), port)
            else:
                server.serve(self._router())
            if functions.grpc:
                self._sidecar = SidecarServer(self.hub)
        except BaseException:
            self.hub.close()
            self._served.close()
            raise
        self.url = server.url
        """Where the host is, without a slash at the end."""

    @property
    def routes(self) -> Sequence[Route]:
        """The HTTP functions' routes."""
        return self._served.routes.all

    @property
    def off(self) -> dict[str, str]:
        """Functions whose trigger is not served, and why."""
        return self._served.triggers.off

    def poll(self) -> int:
        """Have every queue, blob and timer trigger look once; return how many calls it took."""
        return sum(trigger.poll() for trigger in self._served.triggers.all)

    def settle(self, timeout: float = 60.0) -> None:
        """Poll and let the hub work, until nothing moves without time or a message.

        Args:
            timeout: Seconds of real time for each time that the hub works.

        Raises:
            TimeoutError: The hub did not come to rest.
        """
        self.hub.settle(timeout)
        while self.poll():
            self.hub.settle(timeout)

    def start_polling(self, interval: float = 1.0) -> None:
        """Have the triggers look every ``interval`` seconds, from threads of their own."""
        self._served.start_polling(interval)

    def deploy(self, worker: Worker) -> None:
        """Go on with another version of the app, or another life of its worker.

        The worker before may be closed then: what it has not answered is done again by this one.
        """
        before = self._served
        self._worker = worker
        self._served = self._serve()
        self.hub.deploy(self._durable(worker))
        interval = before.stop_polling()
        retiring = threading.Thread(target=before.close, name="functions-retired")
        retiring.start()
        self._retiring = [*filter(threading.Thread.is_alive, self._retiring), retiring]
        if interval is not None:
            self.start_polling(interval)

    def close(self) -> None:
        """Stop; what runs is waited for, what waits is forgotten."""
        self._served.stop_polling()
        if self._owned is not None:
            self._owned.close()
        if self._sidecar is not None:
            self._sidecar.close()
        self.hub.close()
        self._served.close()
        for thread in self._retiring:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bindings(self) -> StorageBindings:
        return StorageBindings(
            settings=self._settings,
            queues=self._json.queues,
            clock=self._clock,
            others=ClientBindings(self._client),
        )

    def _client(self, binding: Binding) -> str:
        """The text of a durable client's binding."""
        webhook = Webhook(
            base=self.url + WEBHOOK,
            hub=str(binding.get("taskHub") or self._json.hub_name),
            connection=str(binding.get("connectionName") or self.hub.options.connection),
            code=self._key,
        )
        if self._sidecar is not None:
            rpc = f"http://127.0.0.1:{self._sidecar.port}"
            return client_payload(webhook, rpc, grpc=True)
        return client_payload(webhook, f"{self.url}{RPC}/")

    def _durable(self, worker: Worker) -> DurableFunctions:
        return DurableFunctions(
            worker, self._bindings(), function_timeout=self._json.function_timeout
        )

    def _serve(self) -> _Served:
        return _Served(self._calling, self._json, self._settings, self._clock)

    def _router(self) -> Router:
        public = ManagementApi(self.hub, key=self._key, is_guarded=bool(self._key))
        private = ManagementApi(self.hub, prefix=RPC, key=self._key)
        return Router(
            [
                Mount(WEBHOOK, public),
                Mount(RPC, private),
                HttpRoute("/", _home),
                HttpRoute("/admin/host/status", self._host_status),
                HttpRoute("/admin/host/restart", self._restart_host, methods=["POST"]),
                HttpRoute("/admin/functions", self._list_functions),
                HttpRoute("/admin/functions/{name}", self._run_function, methods=["POST"]),
                Mount("/", HttpFunctions(lambda: self._served.routes, self._calling)),
            ]
        )

    async def _host_status(self, request: Request) -> Response:
        return JSONResponse({"id": self._json.hub_name.lower(), "state": "Running"})

    async def _restart_host(self, request: Request) -> Response:
        if self._restart is None:
            why = (
                "the app cannot be loaded again: its functions run in the host's process;"
                f" they have one of their own on {NEEDED_PYTHON}, with azure-functions-runtime"
            )
            return PlainTextResponse(why, status_code=501)
        try:
            await run_in_threadpool(self._restart)
        except IndexingFailed as error:
            return PlainTextResponse(f"the code before goes on: {error}", status_code=400)
        return Response(status_code=200)

    async def _list_functions(self, request: Request) -> Response:
        listed = self._worker.functions
        return JSONResponse(
            [
                {"name": f.name, "config": {"bindings": [dict(b) for b in f.bindings]}}
                for f in listed
            ]
        )

    async def _run_function(self, request: Request) -> Response:
        """Call a function that HTTP does not trigger, with ``{"input": text}`` as its data.

        The text for one that blobs trigger is a blob's path.
        """
        name = request.path_params["name"].lower()
        functions = {f.name.lower(): f for f in self._worker.functions}
        function = functions.get(name)
        if function is None:
            return Response(status_code=404)
        try:
            given = json.loads(await request.body() or b"{}")
            text = str(given.get("input", ""))
        except (AttributeError, ValueError):
            return PlainTextResponse('the body must be {"input": "..."}', status_code=400)
        if not await run_in_threadpool(self._run, function, text):
            why = f"function {function.name!r} takes a blob of {function.trigger['path']!r}"
            mend = 'name one that is there: {"input": "<container>/<name>"}'
            return PlainTextResponse(f"{why}; {mend}", status_code=400)
        return Response(status_code=202)

    def _run(self, function: Function, text: str) -> bool:
        """Call a function, unless there is no such blob."""
        found: tuple[Data, dict[str, Data]] | None = (Text(text), {})
        match str(function.trigger["type"]).lower():
            case "timertrigger":
                found = (Json('{"IsPastDue": false}'), {})
            case "blobtrigger":
                found = self._served.triggers.blob(function, text)
            case _:
                pass
        if found is None:
            return False
        self._calling.succeeds(function, *found)
        return True


async def _home(request: Request) -> Response:
    return PlainTextResponse("The function app is up and running.")


class _Served:
    """What is made anew for each deployment of the app."""

    def __init__(
        self, calling: Calling, host_json: HostJson, settings: AppSettings, clock: Clock
    ) -> None:
        functions = calling.worker().functions
        self._log = calling.log
        self._polling: tuple[Poller, float] | None = None
        self.routes = Routes(functions, host_json.route_prefix)
        self.triggers = FoundTriggers(
            functions,
            host_id=host_json.hub_name,
            settings=settings,
            queues=host_json.queues,
            clock=clock,
            calling=calling,
        )

    def start_polling(self, interval: float) -> None:
        poller = Poller(self.triggers.all, interval=interval, log=self._log)
        self._polling = (poller, interval)

    def stop_polling(self) -> float | None:
        """Begin no further look; returns the interval of those that there were."""
        if self._polling is None:
            return None
        poller, interval = self._polling
        poller.stop()
        return interval

    def close(self) -> None:
        """Stop looking, wait for the calls that have begun, and let go of storage."""
        if self._polling is not None:
            self._polling[0].close()
        self.triggers.close()
