"""The program of a worker process: Microsoft's own worker library between two pipes.

Run as a script, by any Python that has ``azure_functions_runtime``: it imports nothing of this
package, so that nothing but the app and what the app brings is there.

Frames go both ways, four bytes of length (big-endian), then JSON. The first one out lists the
functions, or says why there are none; then each frame in is a call, and each frame out an answer
to one. Data are objects of one key, as in the host's ``TypedData``: ``string``, ``json``,
``bytes`` (base64), ``http``.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import logging
import os
import runpy
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any

PACKAGES = Path(".python_packages", "lib", "site-packages")
"""Where an app brings its packages."""

DYNLOAD = "lib-dynload"
"""The folder of the standard library's extension modules."""

FAILURE_LOGGER = "ostinato_azure.live"
"""Logs the failures of instances, for alerts: here the host tells them, with the name."""

WORKERS_OWN = {"azure_functions_runtime", "azurefunctions", "markupsafe", "werkzeug"}
"""What an app's process has on Azure, too, beside azure.functions."""


def main(folder: Path) -> None:
    """Serve the app of a folder until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the host, who ends us
    frames_in = os.fdopen(os.dup(0), "rb")
    frames_out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what functions print must not come between the frames
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("azure", "azure_functions_runtime", "httpcore", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger(FAILURE_LOGGER).disabled = True
    sys.path[:0] = [str(folder / PACKAGES), str(folder)]
    asyncio.run(serve(folder, frames_in, frames_out))


async def serve(folder: Path, frames_in: IO[bytes], frames_out: IO[bytes]) -> None:
    """Index the app, then answer calls as they come, many at a time."""
    lock = threading.Lock()

    def send(frame: Mapping[str, Any]) -> None:
        with lock:
            write_frame(frames_out, frame)

    try:
        worker = importlib.import_module("azure_functions_runtime")
        importlib.import_module("azure.functions")  # the app's own if it brings one
    except ModuleNotFoundError as error:
        why = f"{sys.executable} cannot run functions: {error}\nhint: {how_to_get_it()}"
        send({"failed": why, "stack": ""})
        return
    if (folder / PACKAGES).is_dir():
        hide_environment([str(folder / PACKAGES), str(folder)])
    worker.start_threadpool_executor()
    protos = Protos()
    init = SimpleNamespace(capabilities={}, function_app_directory=str(folder))
    library = logging.getLogger("azure.functions")
    library.setLevel(logging.CRITICAL)  # why an app cannot be loaded is told below, and once
    started = await worker.worker_init_request(_request("worker_init_request", init, protos))
    library.setLevel(logging.WARNING)
    listed = await worker.functions_metadata_request(_request("metadata", None, protos))
    failure = getattr(started.result, "exception", None)
    if failure is not None:
        has_none = "Could not find top level function app" in failure.message
        mend = how_to_wrap() if has_none else ""
        send({"failed": failure.message + mend, "stack": failure.stack_trace})
        return
    functions = listed.function_metadata_results
    if functions is None:
        send({"failed": f"there is no function_app.py in {folder}", "stack": ""})
        return
    ids = {function.name: function.function_id for function in functions}
    send({"functions": [{"name": f.name, "bindings": list(f.raw_bindings)} for f in functions]})

    async def answer(frame: Mapping[str, Any]) -> None:
        call = invocation(frame, ids.get(frame["function"], ""))
        done = await worker.invocation_request(_request("invocation_request", call, protos))
        failure = getattr(done.result, "exception", None)
        if failure is not None:
            send({"id": frame["id"], "failed": failure.message, "stack": failure.stack_trace})
        else:
            outputs = {o.name: given(o.data) for o in done.output_data}
            send({"id": frame["id"], "value": given(done.return_value), "outputs": outputs})

    await _each_frame(frames_in, answer)
    os._exit(0)  # the host is gone: threads of functions must not keep us


def how_to_get_it() -> str:
    """What to do where the worker library is missing."""
    needed = "pip install azure-functions-runtime, which needs Python 3.13 or newer"
    if sys.version_info >= (3, 13):
        return needed
    return f"{needed}: this is Python {sys.version_info.major}.{sys.version_info.minor}"


def how_to_wrap() -> str:
    """What to do where the app's module has no function app."""
    wrapping = runpy.run_path(str(Path(__file__).with_name("wrapping.py")))
    mend: str = wrapping["how_to_wrap"](sys.modules["function_app"])
    return mend


def hide_environment(own: list[str]) -> None:
    """Leave to an app that brings its packages those, Python's and the worker's, as deployed."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    python = [p for p in sys.path if p.endswith(".zip") or Path(p) in {stdlib, stdlib / DYNLOAD}]
    hidden = [path for path in sys.path if path not in {*own, *python}]
    sys.path[:] = [*own, *python]
    sys.meta_path.append(_WorkersOwn(hidden))


class _WorkersOwn(MetaPathFinder):
    """Finds what the worker library brings; some of it is imported only when it is needed."""

    def __init__(self, places: list[str]) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, self._places) if fullname in WORKERS_OWN else None


async def _each_frame(source: IO[bytes], answer: Callable[[Mapping[str, Any]], Any]) -> None:
    loop = asyncio.get_running_loop()
    tasks = set[asyncio.Task[Any]]()
    ended = loop.create_future()

    def begin(frame: Mapping[str, Any]) -> None:
        task = loop.create_task(answer(frame))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def read() -> None:
        while (frame := read_frame(source)) is not None:
            loop.call_soon_threadsafe(begin, frame)
        loop.call_soon_threadsafe(ended.set_result, None)

    threading.Thread(target=read, daemon=True).start()
    await ended


def write_frame(target: IO[bytes], frame: Mapping[str, Any]) -> None:
    """Write one frame."""
    body = json.dumps(frame, separators=(",", ":")).encode()
    target.write(len(body).to_bytes(4, "big") + body)
    target.flush()


def read_frame(source: IO[bytes]) -> Any | None:
    """Read one frame; None at the end, and where the other side ended within one."""
    head = source.read(4)
    size = int.from_bytes(head, "big")
    body = source.read(size)
    return json.loads(body) if len(head) == 4 and len(body) == size else None


def invocation(frame: Mapping[str, Any], function_id: str) -> SimpleNamespace:
    """A call as the worker wants it."""
    return SimpleNamespace(
        invocation_id=str(frame["id"]),
        function_id=function_id,
        input_data=[
            Parameter(name=name, data=taken(data)) for name, data in frame["inputs"].items()
        ],
        trigger_metadata={name: taken(data) for name, data in frame["metadata"].items()},
        trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )


def _request(kind: str, message: Any, protos: Protos) -> SimpleNamespace:
    properties = {"host": "127.0.0.1", "protos": protos}
    return SimpleNamespace(request=SimpleNamespace(**{kind: message}), properties=properties)


class TypedData(SimpleNamespace):
    """One value, under the name of its kind; texts must be texts, as protobuf has it."""

    def __init__(self, **kind: Any) -> None:
        super().__init__(**kind)
        text = kind.get("string", kind.get("json"))
        if text is not None and not isinstance(text, str):
            raise TypeError("bad argument type for built-in operation")
        (text or "").encode()

    def WhichOneof(self, group: str) -> str | None:
        """The kind."""
        return next((kind for kind, value in vars(self).items() if value is not None), None)


class Parameter(SimpleNamespace):
    """A named value (``ParameterBinding``)."""

    def WhichOneof(self, group: str) -> str:
        """Always by value, never in shared memory."""
        return "data"


class _Message(SimpleNamespace):
    pass


class _BindingInfo(SimpleNamespace):
    undefined, out, inout = 0, 1, 2


class _StatusResult(SimpleNamespace):
    Failure, Success = 0, 1


class _Cookie(SimpleNamespace):
    SameSite = SimpleNamespace(**{"None": None, "Lax": "Lax", "Strict": "Strict"})
    SameSite.ExplicitNone = "None"


class Protos:
    """Stands for the generated protobuf module: plain objects for all messages."""

    TypedData = TypedData
    ParameterBinding = Parameter
    BindingInfo = _BindingInfo
    StatusResult = _StatusResult
    RpcHttpCookie = _Cookie

    def __getattr__(self, name: str) -> type[_Message]:
        return _Message


def taken(data: Mapping[str, Any]) -> TypedData:
    """What the host sent, as the worker wants it."""
    ((kind, value),) = data.items()
    if kind == "bytes":
        return TypedData(bytes=base64.b64decode(value))
    if kind == "http":
        body = TypedData(bytes=base64.b64decode(value["body"]))
        return TypedData(http=SimpleNamespace(**{**value, "body": body}))
    return TypedData(**{kind: value})


def given(data: TypedData | None) -> dict[str, Any] | None:
    """What the worker gave, as the host reads it."""
    kind = data.WhichOneof("data") if data is not None else None
    if data is None or kind is None:
        return None
    value = getattr(data, kind)
    match kind:
        case "bytes":
            return {"bytes": base64.b64encode(value).decode()}
        case "http":
            return {
                "http": {
                    "status": int(value.status_code),
                    "headers": value.headers,
                    "cookies": [set_cookie(cookie) for cookie in value.cookies or ()],
                    "body": base64.b64encode(value.body.bytes).decode(),
                }
            }
        case "int" | "double":
            return {"json": json.dumps(value)}
        case _:
            return {kind: value}


def set_cookie(cookie: Any) -> str:
    """The text of a Set-Cookie header."""
    parts = [f"{cookie.name}={cookie.value}"]
    for label, field in (("Domain", cookie.domain), ("Path", cookie.path)):
        if field is not None and field.value:
            parts.append(f"{label}={field.value}")
    if cookie.max_age is not None:
        parts.append(f"Max-Age={cookie.max_age.value:.0f}")
    if cookie.expires is not None:
        parts.append(f"Expires={cookie.expires.value:%a, %d %b %Y %H:%M:%S} GMT")
    parts += [
        label
        for label, flag in (("Secure", cookie.secure), ("HttpOnly", cookie.http_only))
        if flag is not None and flag.value
    ]
    if cookie.same_site:
        parts.append(f"SameSite={cookie.same_site}")
    return "; ".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
