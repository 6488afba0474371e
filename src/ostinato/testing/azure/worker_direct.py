"""A worker in this process: calls the functions of a function app object directly.

It does between host and function what Microsoft's Python worker does
(``azure_functions_runtime.handle_event``), with azure-functions' own converters, and so runs on
every Python that azure-functions runs on, without a process of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
import traceback
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any, assert_never, cast

import azure.functions as func
from azure.functions import meta

from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.worker import (
    Binary,
    Data,
    Function,
    IndexingFailed,
    Invocation,
    Json,
    Outcome,
    Request,
    Response,
    Text,
    readable,
)
from ostinato.testing.azure.wrapping import how_to_wrap

_LOCAL = threading.local()
_LOOP_LOCK = threading.Lock()
_LOOPS = list[asyncio.AbstractEventLoop]()
_REGISTRY = cast(Any, meta).get_binding_registry()


class DirectWorker:
    """A `Worker` for an app object; synchronous functions run in the caller's thread.

    Asynchronous ones share one event loop on a thread of its own.

    Args:
        app: Its functions, as they are now, are the worker's for good.

    Raises:
        IndexingFailed: A function's parameters do not fit its bindings.
    """

    def __init__(self, app: func.FunctionRegister) -> None:
        # The app refuses to list functions that it has listed before, which a restart must.
        app.functions_bindings = {}
        bound = [_Bound.of(function) for function in app.get_functions()]
        self._bound = {b.function.name: b for b in bound}
        self._functions = tuple(b.function for b in bound)

    @property
    def functions(self) -> Sequence[Function]:
        """The functions of the app."""
        return self._functions

    def invoke(self, invocation: Invocation) -> Outcome:
        """Call a function.

        Raises:
            FunctionFailed: It raised, or what it gave or was given has no such form.
            LookupError: There is no function of this name.
        """
        bound = self._bound[invocation.function]
        try:
            arguments, outs = bound.arguments(invocation)
            if bound.is_async:
                call = asyncio.run_coroutine_threadsafe(bound.call(**arguments), _loop())
                result = call.result()
            else:
                result = bound.call(**arguments)
            return bound.outcome(result, outs)
        except Exception as error:
            raise _failed(error) from error

    def close(self) -> None:
        """Nothing is to be ended."""


def _loop() -> asyncio.AbstractEventLoop:
    """The process' event loop for functions.

    One for all workers and for good, as a real worker has one: SDKs keep clients that belong to
    it (azure-functions-durable's HTTP session is a global).
    """
    with _LOOP_LOCK:
        if not _LOOPS:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="functions-loop", daemon=True).start()
            _LOOPS.append(loop)
        return _LOOPS[0]


def load_app(folder: Path) -> func.FunctionRegister:
    """Import a folder's function_app.py, for good, and return the app that it declares.

    Raises:
        IndexingFailed: It cannot be imported, or declares none, or several.
    """
    path = folder.resolve() / "function_app.py"
    if not path.is_file():
        raise IndexingFailed(f"there is no {path.name} in {folder}")
    sys.path[:0] = [str(path.parent / ".python_packages" / "lib" / "site-packages")]
    sys.path[:0] = [str(path.parent)]
    sys.modules.pop(path.stem, None)
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:
        raise IndexingFailed(
            readable(
                f"{type(error).__name__}: {error}",
                traceback.format_exc(),
                folder,
                Path(sys.executable),
            )
        ) from error
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        mend = "" if apps else how_to_wrap(module)
        raise IndexingFailed(
            f"{path} declares {len(apps) or 'no'} function apps; one is needed{mend}"
        )
    return apps[0]


def _failed(error: Exception) -> FunctionFailed:
    text = f"{type(error).__name__}: {error}"
    return FunctionFailed(text, "".join(traceback.format_exception(error)))


class _Out(func.Out[Any]):
    """What an output parameter is set to."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """A function with what its signature says about its bindings."""

    function: Function
    call: Callable[..., Any]
    hints: Mapping[str, Any]
    types: Mapping[str, str]
    """The type of each parameter's binding; ``generic`` where the annotation asks for it raw."""
    returns: str | None
    """The type of the binding that takes the return value."""
    wants_context: bool
    directory: str

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.call)

    @classmethod
    def of(cls, listed: Any) -> _Bound:
        call = listed.get_user_function()
        name = str(listed.get_function_name())
        bindings = tuple(json.loads(text) for text in listed.get_raw_bindings())
        function = Function(name, bindings)
        try:
            parameters = set(inspect.signature(call).parameters)
            hints = typing.get_type_hints(call)
            directory = str(Path(inspect.getfile(call)).parent)
        except (NameError, TypeError, ValueError) as error:
            raise IndexingFailed(f"function {name!r}: {error}") from error
        bound = {str(b["name"]): str(b["type"]) for b in bindings if b["name"] != "$return"}
        wants_context = "context" in parameters - set(bound)
        if missing := parameters - set(bound) - {"context"}:
            raise IndexingFailed(
                f"function {name!r} has parameters that no binding fills: {', '.join(missing)}"
            )
        if extra := set(bound) - parameters:
            raise IndexingFailed(
                f"function {name!r} has bindings without a parameter: {', '.join(extra)}"
            )
        types = {
            parameter: "generic"
            if hints.get(parameter) in (str, bytes) and not _has_implicit_output(kind)
            else kind
            for parameter, kind in bound.items()
        }
        takers = [str(b["type"]) for b in bindings if b["name"] == "$return"]
        takers += [kind for kind in bound.values() if _has_implicit_output(kind)]
        return cls(
            function=function,
            call=call,
            hints=hints,
            types=types,
            returns=takers[0] if takers else None,
            wants_context=wants_context,
            directory=directory,
        )

    def arguments(self, invocation: Invocation) -> tuple[dict[str, Any], dict[str, _Out]]:
        """Decode what the host gives."""
        metadata = {key: _datum(value) for key, value in invocation.metadata.items()}
        arguments = {
            name: _decode(self.types[name], data, metadata)
            for name, data in invocation.inputs.items()
        }
        if self.wants_context:
            arguments["context"] = _Context(self.function.name, self.directory)
        outs = {str(b["name"]): _Out() for b in self.function.outputs if b["name"] != "$return"}
        return {**arguments, **outs}, outs

    def outcome(self, result: Any, outs: Mapping[str, _Out]) -> Outcome:
        """Encode what the function gave."""
        if result is not None and self.returns is None:
            raise RuntimeError(
                f"function {self.function.name!r} without a $return binding"
                " returned a non-None value"
            )
        value = None
        if self.returns is not None:
            value = _encode(self.returns, result, self.hints.get("return"))
        set_ones = {name: out.get() for name, out in outs.items() if out.get() is not None}
        encoded = {name: _encode(self.types[name], v, None) for name, v in set_ones.items()}
        return Outcome(
            value=value,
            outputs={name: data for name, data in encoded.items() if data is not None},
        )


class _Context(func.Context):
    """What a function may ask about its call."""

    def __init__(self, name: str, directory: str) -> None:
        self._name = name
        self._directory = directory
        self._invocation_id = str(uuid.uuid4())
        _LOCAL.invocation_id = self._invocation_id

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return _LOCAL

    @property
    def function_name(self) -> str:
        return self._name

    @property
    def function_directory(self) -> str:
        return self._directory

    @property
    def trace_context(self) -> Any:
        return SimpleNamespace(trace_parent="", trace_state="", attributes={})

    @property
    def retry_context(self) -> Any:
        return SimpleNamespace(retry_count=0, max_retry_count=0, exception=None)


def _converter(kind: str) -> Any:
    return _REGISTRY.get(kind)


def _has_implicit_output(kind: str) -> bool:
    """Whether the return value is taken without a ``$return`` binding."""
    converter = _converter(kind)
    if converter is None:
        return kind != "durableClient"
    return bool(getattr(converter, "has_implicit_output", lambda: False)())


def _decode(kind: str, data: Data, metadata: Mapping[str, meta.Datum]) -> Any:
    converter = _converter(kind)
    datum = _datum(data)
    if converter is None:
        return datum.value
    given = metadata if converter.has_trigger_support() else dict[str, meta.Datum]()
    try:
        return converter.decode(datum, trigger_metadata=given)
    except NotImplementedError:
        raise TypeError(
            f"unable to decode incoming TypedData: unsupported combination of TypedData field"
            f" {datum.type!r} and expected binding type {converter}"
        ) from None


def _datum(data: Data) -> meta.Datum:
    match data:
        case Text(value):
            return meta.Datum(value, "string")
        case Json(text):
            return meta.Datum(text, "json")
        case Binary(value):
            return meta.Datum(value, "bytes")
        case Request():
            return meta.Datum(
                {
                    "method": meta.Datum(data.method, "string"),
                    "url": meta.Datum(data.url, "string"),
                    "headers": _strings(data.headers),
                    "query": _strings(data.query),
                    "params": _strings(data.params),
                    "body": meta.Datum(data.body, "bytes"),
                },
                "http",
            )
        case Response():
            raise TypeError("a response is nothing that a function is given")
        case _:
            assert_never(data)


def _strings(values: Mapping[str, str]) -> dict[str, meta.Datum]:
    return {key: meta.Datum(value, "string") for key, value in values.items()}


def _encode(kind: str, value: Any, expected: Any) -> Data | None:
    converter = _converter(kind)
    if converter is None:
        return _generic(kind, value)
    try:
        datum = converter.encode(value, expected_type=expected)
    except NotImplementedError:
        raise _unencodable(kind, value) from None
    return None if datum is None else _data(datum)


def _generic(kind: str, value: Any) -> Data | None:
    match value:
        case None:
            return None
        case str():
            return _data(meta.Datum(value, "string"))
        case bytes() | bytearray():
            return Binary(bytes(value))
        case dict() | list() | int() | float():
            return Json(json.dumps(value))
        case _:
            raise _unencodable(kind, value)


def _unencodable(kind: str, value: Any) -> TypeError:
    return TypeError(
        f'unable to encode outgoing TypedData: unsupported type "{kind}"'
        f' for Python type "{type(value).__name__}"'
    )


def _data(datum: meta.Datum) -> Data | None:
    value = datum.value
    match datum.type:
        case None:
            return None
        case "string":
            return Text(_sendable(value))
        case "json":
            return None if value is None else Json(_sendable(value))
        case "bytes":
            return Binary(bytes(value))
        case "http":
            return Response(
                status=int(value["status_code"].value),
                headers={key: header.value for key, header in value["headers"].items()},
                cookies=_cookies(value.get("cookies") or ()),
                body=bytes(value["body"].value),
            )
        case "dict" | "list" | "int" | "double" | "bool":
            return Json(json.dumps(value))
        case kind:
            raise NotImplementedError(f"unexpected Datum type: {kind}")


def _sendable(text: Any) -> str:
    """A protobuf string: nothing but text, and text that has a form in UTF-8."""
    if not isinstance(text, str):
        raise TypeError("bad argument type for built-in operation")
    text.encode()
    return text


def _cookies(cookies: Sequence[SimpleCookie]) -> tuple[str, ...]:
    return tuple(morsel.OutputString() for cookie in cookies for morsel in cookie.values())
