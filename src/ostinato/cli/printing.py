"""What goes to standard output: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from ostinato.client import InstanceStatus
from ostinato.events import SCHEDULING, Event

SHOWN = 200
"""Characters of a payload that people are shown."""

GAP = 2
"""Blanks between two columns."""


def print_json(value: Any) -> None:
    """Print a JSON value, in characters that the screen has."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    typer.echo(json.dumps(value, indent=2, ensure_ascii=ascii_only))


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines as long as they are: a screen wraps them, and what is copied of it is whole."""
    console = Console()
    for line in lines:
        console.print(line, soft_wrap=True)


def screen_width() -> int | None:
    """How long a line can be before the screen wraps it; None where there is no screen."""
    return Console().width if sys.stdout.isatty() else None


def note(text: str) -> None:
    """Tell the user something that is no output."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def time_text(at: datetime) -> str:
    """A time to the second, without its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def of_one(status: InstanceStatus, waits_for: Iterable[str]) -> list[Text]:
    """Lay out an instance, a property a line; those it does not have are left out."""
    failure = status.failure
    told: dict[str, str | None] = {
        "instance": status.instance_id,
        "orchestration": status.name,
        "version": status.version,
        "status": status.runtime_status.value,
        "waits for": "\n".join(waits_for),
        "created (UTC)": time_text(status.created_at),
        "updated (UTC)": time_text(status.updated_at),
        "tags": _tags(status),
        "parent": "" if status.parent is None else status.parent.instance_id,
        "input": _short(status.input),
        "custom status": _short(status.custom_status),
        "output": _short(status.output),
        "failure": "" if failure is None else f"{failure.type}: {failure.message}",
    }
    shown = [(name, value) for name, value in told.items() if value]
    lines = _in_columns(shown)
    for (name, _), line in zip(shown, lines, strict=True):
        line.stylize("bold", 0, len(name))
    return lines


def of_many(found: Iterable[InstanceStatus], width: int | None) -> list[Text]:
    """Lay out instances, one a line; one that is longer than ``width`` has its id for itself."""
    rows = [("instance", "orchestration", "status", "created (UTC)", "updated (UTC)", "tags")]
    for status in found:
        created, updated = time_text(status.created_at), time_text(status.updated_at)
        state = status.runtime_status.value
        rows.append((status.instance_id, status.name, state, created, updated, _tags(status)))
    lines = _in_columns(rows)
    heads = 1
    if width is not None and any(line.cell_len > width for line in lines):
        ids = [Text(row[0]) for row in rows]
        rest = _in_columns([("", *row[1:]) for row in rows])
        lines = [line for both in zip(ids, rest, strict=True) for line in both]
        heads = 2
    for line in lines[:heads]:
        line.stylize("bold")
    return lines


def of_history(events: Iterable[Event], *, tells_inputs: bool) -> list[Text]:
    """Lay out a history, an event a line.

    Without ``tells_inputs`` it is not known what activities and children were given.
    """
    rows = [("#", "at (UTC)", "event", "task", "what")]
    for number, event in enumerate(events):
        at, task = f"{event.at:%H:%M:%S.%f}"[:-3], str(getattr(event, "task_id", ""))
        what = _what(event, tells_input=tells_inputs or not isinstance(event, SCHEDULING))
        rows.append((str(number), at, type(event).__name__, task, what))
    lines = _in_columns(rows)
    lines[0].stylize("bold")
    return lines


def _in_columns(rows: Sequence[Sequence[str]]) -> list[Text]:
    """Lay out rows so that columns begin below each other; no line ends in blanks.

    Further lines of a last cell begin below its first.
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [Text(_in_line(row, widths)) for row in rows]


def _in_line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row[:-1], widths[:-1], strict=True)
    begin = "".join(set_cell_size(cell, width + GAP) for cell, width in cells)
    first, *further = row[-1].splitlines() or [""]
    indent = " " * cell_len(begin)
    return "\n".join(line.rstrip() for line in [begin + first, *(indent + f for f in further)])


def _what(event: Event, *, tells_input: bool) -> str:
    """The most telling of an event's own fields; payloads are shortened."""
    parts: list[str] = []
    if name := getattr(event, "name", None):
        parts.append(str(name))
    if (attempt := getattr(event, "attempt", 1)) > 1:
        parts.append(f"attempt {attempt}")
    if due := getattr(event, "due", None):
        parts.append(f"due {due:%Y-%m-%d %H:%M:%S}")
    if failure := getattr(event, "failure", None):
        parts.append(f"{failure.type}: {failure.message}")
    payloads = ("input", "result", "data", "reason")
    for payload in payloads if tells_input else payloads[1:]:
        if text := getattr(event, payload, None):
            parts.append(_cut(str(text)))
    return "  ".join(parts)


def _tags(status: InstanceStatus) -> str:
    return " ".join(f"{name}={value}" for name, value in status.tags.items())


def _short(value: Any) -> str:
    if value is None:
        return ""
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
