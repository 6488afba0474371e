"""What runs the functions of an app, as the Functions host sees it.

A worker lists the functions with their bindings and calls one at a time: data in, data out, or
`FunctionFailed`. The data are those of the host's own channel to its language workers
(``TypedData`` of azure-functions-language-worker-protobuf), as frozen values.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

NEEDED_PYTHON = "Python 3.13 or newer"
"""What ``azure-functions-runtime``, Microsoft's worker library, can be installed on."""

Binding: TypeAlias = Mapping[str, Any]
"""One binding as function.json writes it: ``type``, ``name``, ``direction``, and its settings."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string that says nothing of what it holds."""

    value: str


@dataclass(frozen=True, slots=True)
class Json:
    """JSON, as text."""

    text: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes."""

    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request; ``params`` are what the route's placeholders matched."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response; each of ``cookies`` is the text of one Set-Cookie header."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cookies: tuple[str, ...] = ()
    body: bytes = b""


Data: TypeAlias = Text | Json | Binary | Request | Response


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app."""

    name: str
    bindings: tuple[Binding, ...]

    @property
    def trigger(self) -> Binding:
        """The binding that calls it.

        Raises:
            LookupError: It has none.
        """
        for binding in self.bindings:
            if str(binding["type"]).lower().endswith("trigger"):
                return binding
        raise LookupError(f"function {self.name!r} has no trigger")

    @property
    def inputs(self) -> tuple[Binding, ...]:
        """What it is given besides its trigger."""
        trigger = self.trigger
        return tuple(b for b in self.bindings if b is not trigger and _direction(b) == "IN")

    @property
    def outputs(self) -> tuple[Binding, ...]:
        """Where what it gives goes; ``$return`` is the name for the return value."""
        return tuple(b for b in self.bindings if _direction(b) == "OUT")


def _direction(binding: Binding) -> str:
    return str(binding.get("direction", "IN")).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a function; ``inputs`` by the names of the bindings, the trigger's among them."""

    function: str
    inputs: Mapping[str, Data]
    metadata: Mapping[str, Data] = field(default_factory=dict[str, "Data"])
    """What the trigger tells besides its data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call gave; ``outputs`` by the names of the output bindings that were set."""

    value: Data | None = None
    outputs: Mapping[str, Data] = field(default_factory=dict[str, "Data"])


class Worker(Protocol):
    """Runs functions. Calls may come from many threads at once."""

    @property
    def functions(self) -> Sequence[Function]:
        """The app's functions, in the order in which they were declared."""
        ...

    def invoke(self, invocation: Invocation) -> Outcome:
        """Call a function and wait for it.

        Raises:
            FunctionFailed: It raised.
            WorkerLost: The worker ended before it answered.
            Undeployed: The worker was closed before it answered.
        """
        ...

    def close(self) -> None:
        """End the worker. What runs is not waited for."""
        ...


class IndexingFailed(Exception):
    """The app cannot be loaded; the message is for the app's author."""


def readable(message: str, stack: str, folder: Path, python: Path) -> str:
    """Why an app cannot be loaded, with the line of the app's own code that did it.

    For a module that is missing it tells what to do, as the library does at length.
    """
    if missing := re.match(r"(ModuleNotFoundError: No module named '([^']+)')", message):
        return (
            f"{_located(missing[1], stack, folder)}\nhint: {python} runs the functions: install"
            f" what has {missing[2]!r} there, or run the package that `ostinato build azure` makes"
        )
    return _located(message, stack, folder)


def _located(message: str, stack: str, folder: Path) -> str:
    own = own_lines(stack, folder)
    return f"{message}\n  {own[-1]}" if own else message


def own_lines(stack: str, folder: Path) -> list[str]:
    """The lines of a project's own code in the text of a stack, the innermost last."""
    frames = re.findall(r'File "([^"]+)", line (\d+).*(?:\n +(?!File ")(\S.*))?', stack)
    root = folder.resolve()
    return [f"{file}:{line}: {code}" for file, line, code in frames if _is_own(file, root)]


def _is_own(file: str, root: Path) -> bool:
    """Whether a file below the folder is neither installed there nor Ostinato's."""
    path = Path(file)
    if not path.is_relative_to(root):
        return False
    within = path.relative_to(root)
    installed = {"site-packages", "dist-packages"}.intersection(within.parts)
    environment = any((root / parent / "pyvenv.cfg").is_file() for parent in within.parents)
    return not installed and not environment and not any(map(path.is_relative_to, _ostinato()))


@cache
def _ostinato() -> tuple[Path, ...]:
    """Where Ostinato is: its mistakes are its users', who find them in their own lines."""
    specs = map(importlib.util.find_spec, ("ostinato", "ostinato_azure"))
    return tuple(Path(spec.origin).parent for spec in specs if spec is not None and spec.origin)


class BindingError(Exception):
    """A function's binding cannot be served; the message names both."""


class WorkerLost(Exception):
    """The worker ended in the middle of a call, so nobody knows how far the call came."""
