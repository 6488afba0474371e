"""How instances and histories are laid out for people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TypeAlias

import pytest
from rich.text import Text

from ostinato import events as ev
from ostinato.cli import printing
from ostinato.client import InstanceStatus, RuntimeStatus
from ostinato.events import Event
from ostinato.failures import Failure

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LONGEST = "order-" + 94 * "7"
MESSAGE = "the supplier did not answer, " * 20 + "and that was the last try"


def instance(
    instance_id: str = "one",
    *,
    failure: Failure | None = None,
    tags: dict[str, str] | None = None,
) -> InstanceStatus:
    return InstanceStatus(
        instance_id=instance_id,
        execution_id="",
        name="job",
        version=None,
        runtime_status=RuntimeStatus.FAILED if failure else RuntimeStatus.RUNNING,
        created_at=NOW,
        updated_at=NOW + timedelta(seconds=5),
        failure=failure,
        tags=tags or {},
    )


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


class Screen(StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


Printed: TypeAlias = Callable[[Callable[[], list[Text]]], list[str]]


@pytest.fixture
def on_a_screen(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Print on a terminal and return the lines that it is given to wrap."""

    def printed(lay_out: Callable[[], list[Text]]) -> list[str]:
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", "80")
        printing.print_lines(lay_out())
        return screen.getvalue().splitlines()

    return printed


def test_ids_are_whole_on_a_narrow_screen(on_a_screen: Printed):
    found = [instance(LONGEST), instance("short", tags={"team": "red"})]
    lines = on_a_screen(lambda: printing.of_many(found, printing.screen_width()))
    assert lines == [
        "instance",
        "  orchestration  status   created (UTC)        updated (UTC)        tags",
        LONGEST,
        "  job            Running  2030-01-01 00:00:00  2030-01-01 00:00:05",
        "short",
        "  job            Running  2030-01-01 00:00:00  2030-01-01 00:00:05  team=red",
    ]
    alone = on_a_screen(lambda: printing.of_one(instance(LONGEST), []))
    assert f"instance       {LONGEST}" in alone


def test_what_fits_the_screen_is_one_line_an_instance():
    assert plain(printing.of_many([instance("a"), instance("b", tags={"team": "red"})], 100)) == [
        "instance  orchestration  status   created (UTC)        updated (UTC)        tags",
        "a         job            Running  2030-01-01 00:00:00  2030-01-01 00:00:05",
        "b         job            Running  2030-01-01 00:00:00  2030-01-01 00:00:05  team=red",
    ]


def test_no_line_of_a_file_ends_in_blanks_or_is_cut(capsys: pytest.CaptureFixture[str]):
    tags = {"why": "x" * 3000}
    printing.print_lines(printing.of_many([instance("a"), instance("b", tags=tags)], None))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert tags["why"] in lines[2]
    assert [line.rstrip() for line in lines] == lines


def test_the_text_of_a_failure_is_told_whole(on_a_screen: Printed):
    failure = Failure(type="OSError", message=f"{MESSAGE}\nsecond line")
    history: list[Event] = [
        ev.TaskScheduled(at=NOW, task_id=0, name="charge", input="1"),
        ev.TaskFailed(at=NOW, task_id=0, failure=failure),
    ]
    assert on_a_screen(lambda: printing.of_history(history, tells_inputs=True)) == [
        "#  at (UTC)      event          task  what",
        "0  00:00:00.000  TaskScheduled  0     charge  1",
        f"1  00:00:00.000  TaskFailed     0     OSError: {MESSAGE}",
        "                                      second line",
    ]
    told = on_a_screen(lambda: printing.of_one(instance(failure=failure), []))
    assert told[-2:] == [f"failure        OSError: {MESSAGE}", "               second line"]


def test_a_payload_that_is_shortened_shows_that_it_is():
    history: list[Event] = [ev.EventRaised(at=NOW, name="go", data='"' + 500 * "x" + '"')]
    assert plain(printing.of_history(history, tells_inputs=True))[1].endswith("xxx…")
