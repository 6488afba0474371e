"""Binding expressions: ``{name}`` in the paths and queue names of bindings.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import datetime

from ostinato.testing.azure.worker import Binary, BindingError, Data, Json, Request, Response, Text

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class Pattern:
    """A blob trigger's path, such as ``incoming/{name}.csv``; a container alone takes all of it."""

    def __init__(self, text: str) -> None:
        container, _, path = text.partition("/")
        self.container = container
        self._regex = re.compile(_as_regex(path) if path else ".*", re.DOTALL)

    def match(self, name: str) -> dict[str, str] | None:
        """What the placeholders stand for in a blob's name; None where it does not fit."""
        found = self._regex.fullmatch(name)
        return None if found is None else found.groupdict()


def _as_regex(path: str) -> str:
    """Every placeholder takes as much as it can, slashes too, as in the WebJobs SDK."""
    parts = list[str]()
    end = 0
    for found in _PLACEHOLDER.finditer(path):
        parts.append(re.escape(path[end : found.start()]))
        parts.append(f"(?P<{found[1]}>.*)" if found[1] else re.escape(found[0][0]))
        end = found.end()
    return "".join(parts) + re.escape(path[end:])


def fill(text: str, metadata: Mapping[str, Data], now: datetime) -> str:
    """Put in place of each placeholder what the trigger's metadata say; case does not count.

    Raises:
        BindingError: They say nothing of it.
    """
    known = {key.lower(): value for key, value in metadata.items()}

    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        name = found[1].strip()
        match name.lower():
            case "rand-guid" | "sys.randguid":
                return str(uuid.uuid4())
            case "datetime" | "sys.utcnow":
                return now.strftime("%Y-%m-%dT%H-%M-%SZ")
            case key if key in known:
                return _plain(known[key])
            case _:
                raise BindingError(f"no value for the binding expression {{{name}}} in {text!r}")

    return _PLACEHOLDER.sub(value, text)


def _plain(data: Data) -> str:
    match data:
        case Text(value):
            return value
        case Json(text):
            return text.strip('"')
        case Binary(value):
            return value.decode(errors="replace")
        case Request() | Response():
            raise BindingError("an HTTP message has no place in a binding expression")
