"""Arguments that are written to history as they are: checked where the user gives them.

A value of the wrong type that got into a history could be written but not read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


def text(value: Any, what: str) -> str:
    """Return ``value`` if it is a text that can be stored, not empty.

    Raises:
        TypeError: It is no str.
        ValueError: It is empty, or has lone surrogates.
    """
    if not note(value, what):
        raise ValueError(f"{what} is empty")
    return str(value)


def note(value: Any, what: str) -> str:
    """Return ``value`` if it is a text that can be stored; it may be empty.

    Raises:
        TypeError: It is no str.
        ValueError: It has lone surrogates.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__} ({value!r})")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{what} {value!r} has lone surrogates, which cannot be stored"
            ) from None
    return value


def optional_text(value: Any, what: str) -> str | None:
    """Return ``value`` if it is None or what `text` takes."""
    return None if value is None else text(value, what)


def several(value: Any) -> tuple[Any, ...]:
    """Return what was given as one or as several, as a tuple; a text is one."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return (value,)


def tags(value: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return tags, a mapping of str to str, as a dict; None for none.

    Raises:
        TypeError: A name or value is no str.
    """
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"tags are a mapping of str to str, not {type(value).__name__}")
    return {text(k, "the name of a tag"): note(v, f"tag {k!r}") for k, v in value.items()}


def seconds(value: Any, what: str) -> float:
    """Return a duration, given as a number of seconds or a timedelta, in seconds.

    Raises:
        TypeError: It is neither a number nor a timedelta.
        ValueError: It is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):
        raise TypeError(
            f"{what} is a number of seconds or a timedelta, not {type(value).__name__} ({value!r})"
        )
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{what} is {value!r}; it must be a number of seconds, 0 or more")
    return number


def as_utc(instant: Any, what: str = "the time") -> datetime:
    """Return an instant in UTC; one without a zone is taken as UTC already.

    Raises:
        TypeError: It is no datetime.
    """
    if not isinstance(instant, datetime):
        raise TypeError(f"{what} is a datetime, not {type(instant).__name__} ({instant!r})")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def count(value: Any, what: str, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        TypeError: It is no int.
        ValueError: It is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is a whole number, not {type(value).__name__} ({value!r})")
    if value < least:
        raise ValueError(f"{what} is {value}; it must be {least} or more")
    return value
