"""The value of ``--input``: JSON given as it is, in a file, or on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from msgspec import UNSET

from ostinato.cli.outcome import UsageError


def read_input(argument: str | None) -> Any:
    """Return the decoded input: of JSON text, ``@file``, or ``-`` for standard input.

    Where there is no argument it is UNSET, which is not null.

    Raises:
        UsageError: There is no such file, or the text is no JSON.
    """
    if argument is None:
        return UNSET
    if argument == "-":
        return _decode(sys.stdin.buffer.read(), "standard input")
    if argument.startswith("@"):
        return _decode(_read(argument[1:]), argument[1:])
    return _decode(argument.encode(errors="replace"), "--input")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--input @{path}: {error.strerror or error}") from None


def _decode(data: bytes, where: str) -> Any:
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
            f"{_pointed_at(error)}{_hint(error.doc)}"
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


def _hint(text: str) -> str:
    """A bare word is meant to be a string more often than not."""
    if text.replace("_", "").replace("-", "").isalnum():
        return f"\nhint: a text needs its quotes: --input '\"{text}\"'"
    return ""
