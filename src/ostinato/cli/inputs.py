"""What the user gives: JSON as it is, in a file or on standard input; and a yes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from msgspec import UNSET

from ostinato.cli.outcome import UsageError

TagOption = Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")]


def read_input(argument: str | None, option: str = "--input") -> Any:
    """Return the decoded value of an option: of JSON text, ``@file``, or ``-`` for standard input.

    Where there is no argument it is UNSET, which is not null.

    Raises:
        UsageError: There is no such file, or the text is no JSON.
    """
    if argument is None:
        return UNSET
    if argument == "-":
        return _decode(sys.stdin.buffer.read(), "standard input", option)
    if argument.startswith("@"):
        return _decode(_read(argument[1:], option), argument[1:], option)
    return _decode(argument.encode(errors="replace"), option, option)


def read_tags(given: Iterable[str] | None) -> dict[str, str]:
    """Return the tags of an option's values, each ``name=value``.

    Raises:
        UsageError: One is not.
    """
    return dict(_tag(text) for text in given or ())


def time_before(now: datetime, age: str, option: str) -> datetime:
    """Return the time that was an age ago, like ``90d``: minutes, hours, days or weeks.

    Raises:
        UsageError: It is no age.
    """
    found = re.fullmatch(r"(\d{1,6})([mhdw])", age)
    if found is None:
        raise UsageError(f"{option} {age}: write a number and m, h, d or w, like 90d")
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    try:
        return now - timedelta(**{units[found[2]]: int(found[1])})
    except OverflowError:
        raise UsageError(f"{option} {age}: that is before the year 1") from None


def confirmed(question: str) -> bool:
    """Ask the user, and return whether the answer is yes.

    Raises:
        UsageError: Nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm: give --yes")
    return typer.confirm(question)


def _tag(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"--tag {text}: write name=value")
    return name, value


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} @{path}: {error.strerror or error}") from None


def _decode(data: bytes, where: str, option: str) -> Any:
    try:
        text = data.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where} is not UTF-8: byte {error.start} is {data[error.start]:#04x}"
        ) from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}\n"
            f"{_pointed_at(error)}{_hint(error.doc, option)}"
        ) from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply") from None


def _refuse_constant(text: str) -> NoReturn:
    raise UsageError(f"{text} is no JSON: use null or a string")


def _pointed_at(error: json.JSONDecodeError) -> str:
    """The line of the error with a caret under the character."""
    line = (error.doc.splitlines() or [""])[min(error.lineno, error.doc.count("\n") + 1) - 1]
    begin = max(0, error.colno - 40)
    return f"  {line[begin : error.colno + 39]}\n  {' ' * (error.colno - 1 - begin)}^"


def _hint(text: str, option: str) -> str:
    """A bare word is meant to be a string more often than not."""
    if text.replace("_", "").replace("-", "").isalnum():
        return f"\nhint: a text needs its quotes: {option} '\"{text}\"'"
    return ""
