"""What a person sees of a run: live progress of activities, and failures.

They go to stderr, so that stdout holds the output alone.
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
from rich.text import Text

from ostinato.client import InstanceStatus
from ostinato.failures import Failure
from ostinato.local import Progress


class Quiet:
    """Shows warnings alone."""

    shows_progress = False

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Show a line of warning."""
        warn(self._console, text)

    def show(
        self, progress: Progress, *, ended: bool, attempts: bool, trouble: Exception | None
    ) -> None:
        """Show nothing."""


def warn(console: Console, text: str) -> None:
    """Show a line of warning."""
    console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


class _Bars(Bars):
    """The bars and, while it lasts, why nothing can be written."""

    trouble: Exception | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.trouble is not None:
            yield Text(f"waiting: {self.trouble}", style="red")


class Live:
    """A bar for each activity, drawn again in place while the instance runs.

    Where there is no terminal, the last state is written once, at the end.
    """

    shows_progress = True

    def __init__(self, console: Console) -> None:
        self._bars = _Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} done"),
            TextColumn("[yellow]{task.fields[retries]}"),
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

    def warn(self, text: str) -> None:
        """Show a line of warning above the bars."""
        warn(self._bars.console, text)

    def show(
        self, progress: Progress, *, ended: bool, attempts: bool, trouble: Exception | None
    ) -> None:
        """Bring the bars up to date; what failed for good is done, and known at the end.

        With ``attempts``, one that failed is done as soon as it has.
        """
        self._bars.trouble = trouble
        for name, counts in progress.by_activity.items():
            calls = counts.scheduled - counts.retried
            lost = counts.failed - counts.retried if ended or attempts else 0
            done = counts.completed + lost
            if name not in self._rows:
                # Work of an earlier run counts as done, but not towards the rate.
                self._rows[name] = self._bars.add_task(
                    escape(name), total=calls, completed=done, retries="", failed=""
                )
            self._bars.update(
                self._rows[name],
                total=calls,
                completed=done,
                retries=_retries(counts.retried),
                failed=_failed(lost, attempts) if lost > 0 else "",
            )


def _retries(number: int) -> str:
    return "" if number == 0 else "1 retry" if number == 1 else f"{number:,} retries"


def _failed(number: int, attempts: bool) -> str:
    what = "" if not attempts else "attempt " if number == 1 else "attempts "
    return f"{number:,} {what}failed"


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
