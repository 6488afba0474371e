"""Values written as .NET and Newtonsoft.Json write them, which is what an app is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

_ESCAPED_TOO = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_text(value: Any) -> str:
    """Compact JSON; of the characters outside ASCII only line separators are escaped."""
    if value is None:
        return "null"
    text = _compact(value)
    if not text.isascii():
        for character, escape in _ESCAPED_TOO.items():
            text = text.replace(character, escape)
    return text


def parsed(text: str | None) -> Any:
    """The value of JSON text; None for None, and the text itself when it is not JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def as_json(text: str | None) -> str:
    """JSON text as it is, other text as a JSON string."""
    if text is None:
        return "null"
    try:
        json.loads(text)
    except ValueError:
        return json_text(text)
    return text


def time_text(time: datetime) -> str:
    """A time in UTC as ``2026-01-31T23:59:59.1234567Z``; zeros at the end are left out."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def time_of(text: str) -> datetime:
    """The time that a text of ISO 8601 names; without an offset it is UTC.

    Raises:
        ValueError: It is no such text.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def span_text(span: timedelta) -> str:
    """A ``TimeSpan`` in its constant format, ``[d.]hh:mm:ss[.fffffff]``."""
    seconds = span.seconds
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if span.days:
        text = f"{span.days}.{text}"
    return text + (f".{span.microseconds:06}0" if span.microseconds else "")


def utf16_size(text: str) -> int:
    """Bytes that a text takes in UTF-16."""
    return len(text) * 2 if text.isascii() else len(text.encode("utf-16-le", "surrogatepass"))
