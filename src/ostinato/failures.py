"""Failures: exceptions as data, the same on every host.

A failure keeps what is needed to raise the original class again in the orchestrator:
its name, the names of its bases and its arguments, where they can be written as JSON.
"""

from __future__ import annotations

import binascii
import builtins
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any

import msgspec

from ostinato import errors
from ostinato.errors import TaskFailedError

ACTIVITY_ERROR = "ActivityError"
"""Type of an activity's failure that carries none of our structure."""

SUB_ORCHESTRATION_ERROR = "SubOrchestrationError"
"""Type of a child's failure that carries none of our structure."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a task or an instance failed."""

    type: str
    """The class's bare name, e.g. ``ValueError``."""
    message: str = ""
    traceback: str = ""
    bases: tuple[str, ...] = ()
    """Dotted names of the class and its bases up to Exception, most derived first."""
    args: str | None = None
    """The exception's arguments as a JSON array, where they can be written so."""
    attributes: str | None = None
    """The public attributes that its class gave it, as a JSON object; those that can be written."""
    cause: Failure | None = None
    task: str | None = None
    """The activity or orchestration that failed."""
    attempt: int = 1


DEPTH_LIMIT = 10
"""Failures in a chain of causes, the first one included."""

TEXT_LIMIT = 16 * 1024
"""Bytes (UTF-8) of a traceback, of which the end is kept, and of a message."""

ARGS_LIMIT = 4 * 1024
"""Bytes of an exception's arguments as JSON; longer ones are left out."""

_MAIN_MODULES = frozenset({"__main__", "__mp_main__", "__ostinato_main__"})
"""What the main script is called in the process itself and in children that load it again."""


_OUR_PACKAGES = frozenset({"ostinato", "ostinato.local"})


def dotted_name(cls: type) -> str:
    """Return a class's module and qualified name, the same in all processes of an application."""
    module = "__main__" if cls.__module__ in _MAIN_MODULES else cls.__module__
    return f"{module}.{cls.__qualname__}"


def failure_of(error: BaseException, *, task: str | None = None, attempt: int = 1) -> Failure:
    """Return an exception as data, with the exceptions that led to it.

    A `TaskFailedError` stays what it was: it keeps the type, message, bases and arguments
    of the failed task, whose failure becomes its cause.
    """
    failure = _describe(error, _chain(error))
    return msgspec.structs.replace(failure, task=task, attempt=attempt)


def unstructured(kind: str, message: str, task: str | None = None, attempt: int = 1) -> Failure:
    """Return a failure that a host found by itself, e.g. a crash or a timeout.

    Args:
        kind: `ACTIVITY_ERROR`, `SUB_ORCHESTRATION_ERROR`, or the bare name of a builtin
            exception or of one of `ostinato.errors`, e.g. ``TimeoutError``.
        message: The host's reason.
        task: The activity or orchestration that failed.
        attempt: Which attempt it was.
    """
    known = _class_named(f"builtins.{kind}", {}) or _class_named(f"{errors.__name__}.{kind}", {})
    bases = _bases(known or Exception)
    return Failure(type=kind, message=_head(message), bases=bases, task=task, attempt=attempt)


def error_from(failure: Failure, declared: Mapping[str, type[Exception]]) -> TaskFailedError:
    """Return the error that a failed task raises, which is of the original class where possible.

    The class is the most derived of ``failure.bases`` that is a builtin, one of
    `ostinato.errors` or in ``declared``; its own ``__init__`` and ``__new__`` are not run.

    Args:
        failure: Why the task failed; its cause becomes the error's ``__cause__``.
        declared: Exception classes by `dotted_name`.
    """
    error = _original(failure, declared)
    if failure.cause is not None:
        # Not by assignment: the original class may forbid it, as frozen dataclasses do.
        _assign(error, "__cause__", error_from(failure.cause, declared))
    return error


def _chain(error: BaseException) -> list[BaseException]:
    """What led to ``error``, nearest first, itself left out; without repetition."""
    chain: list[BaseException] = []
    seen = {id(error)}
    while len(chain) < DEPTH_LIMIT - 1:
        before = error.__cause__
        if before is None and not error.__suppress_context__:
            before = error.__context__
        if before is None or id(before) in seen or isinstance(error, TaskFailedError):
            break
        seen.add(id(before))
        chain.append(before)
        error = before
    return chain


def _describe(error: BaseException, chain: Sequence[BaseException]) -> Failure:
    inner = getattr(error, "failure", None) if isinstance(error, TaskFailedError) else None
    if isinstance(inner, Failure):
        cause = _cut(inner, DEPTH_LIMIT - 1)
        return msgspec.structs.replace(inner, traceback=_traceback(error), cause=cause)
    return Failure(
        type=_clean(type(error).__name__),
        message=_message(error),
        traceback=_traceback(error),
        bases=_bases(type(error)),
        args=_arguments(error),
        attributes=_attributes(error),
        cause=_cut(_describe(chain[0], chain[1:]), DEPTH_LIMIT - 1) if chain else None,
    )


def _cut(failure: Failure, depth: int) -> Failure:
    """``failure`` with a chain of at most ``depth``."""
    if failure.cause is None:
        return failure
    cause = _cut(failure.cause, depth - 1) if depth > 1 else None
    return failure if cause is failure.cause else msgspec.structs.replace(failure, cause=cause)


def _bases(cls: type[BaseException]) -> tuple[str, ...]:
    """Dotted names of the exception classes above ``cls``, itself first."""
    kinds = (base for base in cls.__mro__ if issubclass(base, BaseException))
    return tuple(_clean(dotted_name(base)) for base in kinds if base is not BaseException)


def _message(error: BaseException) -> str:
    try:
        return _head(str(error))
    except Exception as broken:
        return f"<its message cannot be shown: __str__ raised {type(broken).__name__}>"


def _traceback(error: BaseException) -> str:
    import traceback  # not needed until something fails

    try:
        lines = traceback.format_exception(type(error), error, _users_part(error), chain=False)
        text = _clean("".join(lines))
    except Exception as broken:
        return f"<its traceback cannot be shown: {type(broken).__name__}>"
    data = text.encode()
    return text if len(data) <= TEXT_LIMIT else data[-TEXT_LIMIT:].decode(errors="ignore")


def _users_part(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame on that is not ours."""
    part = error.__traceback__
    while part is not None and part.tb_frame.f_globals.get("__package__") in _OUR_PACKAGES:
        part = part.tb_next
    return part


def _arguments(error: BaseException) -> str | None:
    """The arguments as JSON, or None where they cannot be written faithfully."""
    try:
        arguments = _os_arguments(error) if isinstance(error, OSError) else list(error.args)
        text = msgspec.json.encode(arguments)
        # NaN is written as null.
        faithful = b"null" not in text or msgspec.json.decode(text) == arguments
        return text.decode() if faithful and len(text) <= ARGS_LIMIT else None
    except Exception:
        return None


def _attributes(error: BaseException) -> str | None:
    """The public attributes as JSON, or None where there are none or they are too much."""
    found = {k: v for k, v in vars(error).items() if not k.startswith("_")}
    written: dict[str, msgspec.Raw] = {}
    for name, value in found.items():
        try:
            data = msgspec.json.encode(value)
        except Exception:  # an open connection, say
            continue
        if b"null" not in data or msgspec.json.decode(data) == value:
            written[name] = msgspec.Raw(data)
    data = msgspec.json.encode(written)
    return data.decode() if written and len(data) <= ARGS_LIMIT else None


def _os_arguments(error: OSError) -> list[Any]:
    """The arguments with the file names, which OSError keeps apart."""
    if error.filename is None or len(error.args) != 2:
        return list(error.args)
    second = [] if error.filename2 is None else [None, _file(error.filename2)]
    return [*error.args, _file(error.filename), *second]


def _file(name: Any) -> Any:
    """A path as text; a descriptor as it is."""
    return name if isinstance(name, int) else _clean(os.fsdecode(name))


def _head(text: str) -> str:
    text = _clean(text)
    data = text.encode()
    return text if len(data) <= TEXT_LIMIT else data[:TEXT_LIMIT].decode(errors="ignore") + "…"


def _clean(text: str) -> str:
    """``text`` without lone surrogates, which undecodable file names have and JSON cannot."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _original(failure: Failure, declared: Mapping[str, type[Exception]]) -> TaskFailedError:
    for name in failure.bases:
        cls: Any = _class_named(name, declared)
        if cls is None:
            continue
        try:
            return _instance(_composite(cls), failure)
        except Exception:  # a metaclass, __init_subclass__ or layout that forbids it
            continue
    return _instance(TaskFailedError, failure)


def _class_named(name: str, declared: Mapping[str, type[Exception]]) -> type[Exception] | None:
    """The class to raise for a dotted name; generators would swallow StopIteration."""
    module, _, bare = name.rpartition(".")
    known: Any = declared.get(name)
    if known is None and module in ("builtins", errors.__name__):
        known = getattr(builtins if module == "builtins" else errors, bare, None)
    if not isinstance(known, type) or not issubclass(known, Exception):
        return None
    return None if issubclass(known, StopIteration | StopAsyncIteration) else known


@lru_cache(maxsize=1024)
def _composite(cls: type) -> type[TaskFailedError]:
    """A class that is both `TaskFailedError` and ``cls``, and goes by the name of ``cls``."""
    if issubclass(TaskFailedError, cls):
        return TaskFailedError
    bases: tuple[type, ...] = (TaskFailedError, cls)
    if issubclass(cls, TaskFailedError):
        bases = (cls,)
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    composite: type[TaskFailedError] = type(cls.__name__, bases, names)
    return composite


def _instance(cls: type[TaskFailedError], failure: Failure) -> TaskFailedError:
    """An instance made by the builtin base alone, so that no user code runs."""
    arguments = _decoded(failure)
    builtin: Any = next(b for b in cls.__mro__ if getattr(builtins, b.__name__, None) is b)
    error: TaskFailedError = builtin.__new__(cls, *arguments)
    try:
        builtin.__init__(error, *_native(builtin, arguments))
    except TypeError:  # arguments that are not the builtin's own
        _assign(error, "args", arguments)
    for name, value in _decoded_attributes(failure).items():
        with suppress(Exception):  # a property, or a slot of another kind
            _assign(error, name, value)
    _assign(error, "failure", failure)
    return error


def _native(builtin: type, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """JSON's values as the builtin's constructor wants them."""
    if issubclass(builtin, UnicodeDecodeError) and len(arguments) == 5:
        encoding, data, *rest = arguments
        return (encoding, binascii.a2b_base64(data), *rest)
    return arguments


def _decoded_attributes(failure: Failure) -> dict[str, Any]:
    if failure.attributes is None:
        return {}
    try:
        return msgspec.json.decode(failure.attributes, type=dict[str, Any])
    except msgspec.MsgspecError:  # written by another host
        return {}


def _decoded(failure: Failure) -> tuple[Any, ...]:
    """The original arguments, or what an exception has at least: its message."""
    if failure.args is not None:
        try:
            return tuple(msgspec.json.decode(failure.args, type=list[Any]))
        except msgspec.MsgspecError:  # written by another host
            pass
    return (failure.message,)


_assign = BaseException.__setattr__
