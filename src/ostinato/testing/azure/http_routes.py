"""Routes of HTTP triggers: which function a request is for.

A route is a template of ASP.NET: ``{name}``, ``{name:constraint}``, ``{name=default}``,
``{name?}``, ``{*rest}``. Of several routes that fit the most literal one is taken.
https://learn.microsoft.com/aspnet/core/fundamentals/routing
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from ostinato.testing.azure.worker import Function

METHODS = ("GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS")
"""What a trigger that names no method takes."""

_SEGMENT = re.compile(
    r"\{(?P<rest>\*{1,2})?(?P<name>\w+)(?P<constraints>(?::[^{}=?]+)*)"
    r"(?:=(?P<default>[^{}]*))?(?P<optional>\?)?\}"
)
_CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
    "bool": r"(?i:true|false)",
    "alpha": r"[A-Za-z]+",
}  # fmt: skip
_LITERAL, _CONSTRAINED, _ANY, _REST = range(4)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one function is served."""

    function: Function
    path: str
    """With the prefix, without a slash before it."""
    methods: tuple[str, ...]
    regex: re.Pattern[str]
    defaults: tuple[tuple[str, str], ...]
    precedence: tuple[int, ...]

    @classmethod
    def of(cls, function: Function, prefix: str) -> Route:
        """The route of a function with an httpTrigger."""
        trigger = function.trigger
        route = str(trigger.get("route") or function.name)
        path = "/".join(part.strip("/") for part in (prefix, route) if part.strip("/"))
        methods = tuple(str(method).upper() for method in trigger.get("methods") or METHODS)
        regex, precedence, defaults = "", list[int](), list[tuple[str, str]]()
        for segment in path.split("/") if path else []:
            pattern, rank, optional = _segment(segment, defaults)
            regex += f"(?:/{pattern})?" if optional else f"/{pattern}"
            precedence.append(rank)
        return cls(
            function=function,
            path=path,
            methods=methods,
            regex=re.compile(regex + "/?", re.IGNORECASE),
            defaults=tuple(defaults),
            precedence=tuple(precedence),
        )


def _segment(segment: str, defaults: list[tuple[str, str]]) -> tuple[str, int, bool]:
    """One segment as a regular expression, its rank, and whether it may be missing."""
    pattern, rank, optional, end = "", _LITERAL, False, 0
    for found in _SEGMENT.finditer(segment):
        pattern += re.escape(segment[end : found.start()])
        end = found.end()
        name, constraint = found["name"], found["constraints"].strip(":").split("(")[0]
        wanted = _CONSTRAINTS.get(constraint, "[^/]+")
        pattern += f"(?P<{name}>{'.*' if found['rest'] else wanted})"
        rank = _REST if found["rest"] else _CONSTRAINED if constraint else _ANY
        if found["default"] is not None:
            defaults.append((name, found["default"]))
        whole = found.end() - found.start() == len(segment)
        optional = whole and bool(found["rest"] or found["optional"] or found["default"])
    return pattern + re.escape(segment[end:]), rank, optional


@dataclass(frozen=True, slots=True)
class Found:
    """A function for a request, and what its route's placeholders stand for."""

    function: Function
    params: dict[str, str]


class Routes:
    """The routes of an app."""

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        routes = [
            Route.of(function, prefix)
            for function in functions
            if str(function.trigger["type"]).lower() == "httptrigger"
        ]
        self.all: Sequence[Route] = sorted(routes, key=lambda route: route.precedence)
        """The most literal first."""

    def find(self, method: str, path: str) -> Found | None:
        """The function for a request; ``path`` begins with a slash, and is still quoted."""
        for route in self.all:
            found = route.regex.fullmatch(path)
            if found is not None and method in route.methods:
                given = {k: unquote(v) for k, v in found.groupdict().items() if v is not None}
                return Found(route.function, dict(route.defaults) | given)
        return None
