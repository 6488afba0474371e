"""Failures as text: how a failure crosses Azure with its type, traceback and cause.

Where the extension passes structured details on, they hold it; everywhere else it stands in
the text that people see too, behind a mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from ostinato.failures import Failure, unstructured

_F = TypeVar("_F")

PROPERTY = "ostinato"
"""In the details' ``Properties``: the failure as JSON text."""


class Ending(Failure, frozen=True, omit_defaults=True, gc=False):
    """A failure that ended an instance."""

    rewinds: bool | None = None
    """Whether Azure's rewind, which takes every failure out of the history, takes out what
    ended the instance and no more; None where that is not told."""


_MARK = " $ostinato{"
_SHOWN = 300
_read = msgspec.json.Decoder(Failure).decode
_read_ending = msgspec.json.Decoder(Ending).decode


def summary(failure: Failure) -> str:
    """The failure in one line that holds nothing the extension looks for."""
    line = " ".join(f"{failure.type}: {failure.message}".split())
    for mark in ("OutOfProcData$", "ostinato{"):  # taken apart: taken out, another could close up
        line = line.replace(mark, f"{mark[:-1]} {mark[-1]}")
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


def ending(failure: Failure, *, rewinds: bool) -> Failure:
    """The failure of an instance, with what a rewind would do."""
    return Ending(**msgspec.structs.asdict(failure), rewinds=rewinds)


def failure_from_details(
    details: Mapping[str, Any] | None,
    reason: str | None,
    kind: str,
    name: str | None = None,
    attempt: int = 1,
) -> Failure:
    """Return the failure in structured details or, where they are not ours, in the reason."""
    found = _written(details, reason, _read)
    return unstructured(kind, reason or "", name, attempt) if found is None else found


def told_to_rewind(details: Mapping[str, Any] | None, reason: str | None) -> bool | None:
    """See `Ending.rewinds`; of a failure that is not ours, nothing is told."""
    found = _written(details, reason, _read_ending)
    return None if found is None else found.rewinds


def _written(
    details: Mapping[str, Any] | None, reason: str | None, read: Callable[[str], _F]
) -> _F | None:
    """What is read in the details or, where nothing of ours is there, in the reason."""
    for written in (_in_details(details), _in_text(reason or "")):
        if written is not None:
            try:
                return read(written)
            except msgspec.MsgspecError:
                pass  # somebody else's
    return None


def _in_details(details: Mapping[str, Any] | None) -> str | None:
    properties: object = (details or {}).get("Properties")
    if not isinstance(properties, dict):
        return None
    written = cast("Mapping[str, object]", properties).get(PROPERTY)
    return written if isinstance(written, str) else None


def _in_text(text: str) -> str | None:
    at = text.rfind(_MARK)
    if at < 0:
        return None
    found = text[at + len(_MARK) - 1 :]
    try:
        _, end = json.JSONDecoder().raw_decode(found)  # a host may have put more behind it
    except ValueError:
        return None  # cut off on its way
    return found[:end]
