"""What a person sees: live progress of activities, failures and histories.

Progress and failures go to stderr, so that stdout holds the output alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from ostinato.client import InstanceStatus
from ostinato.events import Event
from ostinato.failures import Failure
from ostinato.local import Progress


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def show(self, progress: Progress) -> None:
        """Show nothing."""


class Live:
    """A bar for each activity, drawn again in place while the instance runs.

    Where there is no terminal, the last state is written once, at the end.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} done"),
            TextColumn("[yellow]{task.fields[retried]:,} retried"),
            TextColumn("[red]{task.fields[failed]}"),
            _Rate(),
            TimeElapsedColumn(),
            console=console,
        )
        self._rows: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Show a line above the bars."""
        self._bars.console.print(text, highlight=False, markup=False)

    def show(self, progress: Progress) -> None:
        """Bring the bars up to date."""
        for name, counts in progress.by_activity.items():
            calls = counts.scheduled - counts.retried
            lost = max(0, counts.failed - counts.retried)  # a pause before a retry counts as one
            state = {
                "total": calls,
                "completed": counts.completed + lost,
                "retried": counts.retried,
                "failed": f"{lost:,} failed" if lost else "",
            }
            if name not in self._rows:
                # Work of an earlier run counts as done, but not towards the rate.
                self._rows[name] = self._bars.add_task(escape(name), **state)
            self._bars.update(self._rows[name], **state)


class _Rate(ProgressColumn):
    """Activities a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="cyan")


def failed(status: InstanceStatus) -> RenderableType:
    """Say why an instance failed: type, message, the activity, its traceback, the causes."""
    failure = status.failure
    if failure is None:
        return Text(f"{status.name} failed", style="bold red")
    return Panel(
        Group(*_explain(failure)),
        title=f"[bold red]{escape(status.name)} failed",
        subtitle=escape(status.instance_id),
        border_style="red",
        title_align="left",
        subtitle_align="right",
    )


def _explain(failure: Failure) -> Iterator[RenderableType]:
    cause = failure.cause
    yield Text.assemble((failure.type, "bold"), ": " if failure.message else "")
    if failure.message:
        yield Padding(Text(failure.message), (0, 0, 0, 2))
    # A failure that only passed through orchestrations is told once, where it arose.
    while cause and (cause.type, cause.message) == (failure.type, failure.message):
        failure, cause = cause, cause.cause
    if failure.task is not None:
        attempt = f", attempt {failure.attempt}" if failure.attempt > 1 else ""
        yield Text(f"in {failure.task!r}{attempt}", style="yellow")
    if failure.traceback:
        yield Text(f"\n{failure.traceback.rstrip()}", style="dim")
    if cause is not None:
        yield Text("\ncaused by", style="dim")
        yield from _explain(cause)


def history(events: Iterable[Event]) -> Table:
    """Lay a history out as a table, an event a row."""
    table = Table("#", "at (UTC)", "event", "task", "what", header_style="bold", box=None)
    for number, event in enumerate(events):
        table.add_row(
            str(number),
            f"{event.at:%H:%M:%S.%f}"[:-3],
            type(event).__name__,
            str(getattr(event, "task_id", "")),
            Text(_what(event), overflow="ellipsis", no_wrap=True),
        )
    return table


def _what(event: Event) -> str:
    """The most telling of an event's own fields, shortened."""
    parts: list[str] = []
    if name := getattr(event, "name", None):
        parts.append(str(name))
    if (attempt := getattr(event, "attempt", 1)) > 1:
        parts.append(f"attempt {attempt}")
    if due := getattr(event, "due", None):
        parts.append(f"due {due:%Y-%m-%d %H:%M:%S}")
    if failure := getattr(event, "failure", None):
        parts.append(f"{failure.type}: {failure.message}")
    for payload in ("input", "result", "data", "reason"):
        if text := getattr(event, payload, None):
            parts.append(str(text)[:200])
    return "  ".join(parts)
