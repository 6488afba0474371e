"""Failures as text: how a failure crosses Azure with its type, traceback and cause.

Where the extension passes structured details on, they hold it; everywhere else it stands in
the text that people see too, behind a mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ostinato.failures import Failure, unstructured

PROPERTY = "ostinato"
"""In the details' ``Properties``: the failure as JSON text."""

_MARK = " $ostinato{"
_SHOWN = 300
_read = msgspec.json.Decoder(Failure).decode


def summary(failure: Failure) -> str:
    """The failure in one line that holds nothing the extension looks for."""
    line = " ".join(f"{failure.type}: {failure.message}".split()).replace("$OutOfProcData$", "")
    line = line.replace("$ostinato{", "$ostinato {")
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def failure_text(failure: Failure) -> str:
    """The failure in one line, and all of it behind the mark."""
    written = msgspec.json.encode(failure).decode().replace("$", "\\u0024")  # the mark stands once
    return f"{summary(failure)} $ostinato{written}"


def failure_details(failure: Failure) -> dict[str, Any]:
    """The failure as the extension's ``failureDetails`` (schema 3 and later)."""
    return {
        "ErrorType": failure.type,
        "ErrorMessage": failure.message,
        "StackTrace": failure.traceback,
        "IsNonRetriable": False,
        "Properties": {PROPERTY: msgspec.json.encode(failure).decode()},
        "InnerFailure": None,
    }


def failure_from_text(
    text: str | None, kind: str, name: str | None = None, attempt: int = 1
) -> Failure:
    """Return the failure in a reason's text; one without the mark is of type ``kind``."""
    text = text or ""
    at = text.rfind(_MARK)
    if at >= 0:
        found = text[at + len(_MARK) - 1 :]
        try:
            _, end = json.JSONDecoder().raw_decode(found)  # a host may have put more behind it
            return _read(found[:end])
        except (msgspec.MsgspecError, ValueError):
            pass  # cut off on its way
    return unstructured(kind, text, name, attempt)


def failure_from_details(
    details: Mapping[str, Any] | None,
    reason: str | None,
    kind: str,
    name: str | None = None,
    attempt: int = 1,
) -> Failure:
    """Return the failure in structured details or, where they are not ours, in the reason."""
    properties: object = (details or {}).get("Properties")
    written = (
        cast("Mapping[str, object]", properties).get(PROPERTY)
        if isinstance(properties, dict)
        else None
    )
    if isinstance(written, str):
        try:
            return _read(written)
        except msgspec.MsgspecError:
            pass
    return failure_from_text(reason, kind, name, attempt)
