"""What goes to standard output: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ostinato.client import InstanceStatus

SHOWN = 200
"""Characters of a payload that people are shown."""

WIDE = 2000
"""Characters of a line that no screen cuts."""


def print_json(value: Any) -> None:
    """Print a JSON value, in characters that the screen has."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    typer.echo(json.dumps(value, indent=2, ensure_ascii=ascii_only))


def print_table(table: RenderableType) -> None:
    """Print a table; in a file its rows are as long as they need to be."""
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def note(text: str) -> None:
    """Tell the user something that is no output."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def of_one(status: InstanceStatus) -> Table:
    """Lay out an instance, a property a row; those it does not have are left out."""
    failure = status.failure
    told: dict[str, Any] = {
        "instance": status.instance_id,
        "orchestration": status.name,
        "version": status.version,
        "status": status.runtime_status.value,
        "created": _time(status.created_at),
        "updated": _time(status.updated_at),
        "tags": _tags(status),
        "parent": status.parent and status.parent.instance_id,
        "input": _short(status.input),
        "custom status": _short(status.custom_status),
        "output": _short(status.output),
        "failure": failure and f"{failure.type}: {failure.message}",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in told.items():
        if value:
            table.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))
    return table


def of_many(found: Iterable[InstanceStatus]) -> Table:
    """Lay out instances, one a row."""
    table = Table("instance", "orchestration", "status", "created", "updated", "tags", box=None)
    for status in found:
        cells = (
            status.instance_id,
            status.name,
            status.runtime_status.value,
            _time(status.created_at),
            _time(status.updated_at),
            _tags(status),
        )
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _tags(status: InstanceStatus) -> str:
    return " ".join(f"{name}={value}" for name, value in status.tags.items())


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
