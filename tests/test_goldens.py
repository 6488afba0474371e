"""Recorded histories of the reference orchestrations, held against the code as it is now."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import ostinato as ost
from orchestrations import app
from ostinato import events as ev
from ostinato.errors import NonDeterminismError
from ostinato.events import Event, events_from_json
from ostinato.testing import replay_history
from tests.histories import started, turn

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("*.json"))


def load(path: Path) -> list[Event]:
    return events_from_json(path.read_text())


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_the_code_repeats_what_was_recorded(path: Path):
    replay_history(app, load(path))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_the_code_repeats_every_beginning_of_what_was_recorded(path: Path):
    history = load(path)
    for length in range(2, len(history)):
        replay_history(app, history[:length])


def test_there_are_goldens():
    assert {path.stem for path in GOLDENS} >= {"ingest", "nightly_etl", "stage_source"}


def test_another_input_of_an_activity_is_a_difference():
    history = load(next(path for path in GOLDENS if path.stem == "stage_source"))
    position = next(p for p, e in enumerate(history) if isinstance(e, ev.TaskScheduled))
    history[position] = msgspec.structs.replace(history[position], input='"another"')
    with pytest.raises(NonDeterminismError, match="did not repeat its history"):
        replay_history(app, history)


def test_another_output_is_a_difference():
    history = load(next(path for path in GOLDENS if path.stem == "stage_source"))
    history[-1] = msgspec.structs.replace(history[-1], result='"another"')
    with pytest.raises(NonDeterminismError, match="ended as Completed"):
        replay_history(app, history)


def test_code_that_asks_without_end_is_a_difference():
    changed = ost.App("changed")
    changed.foreign_activity("work")

    @changed.orchestration
    def flow(ctx: ost.OrchestrationContext):
        while True:
            ctx.call_activity("work")
        yield

    with pytest.raises(NonDeterminismError, match="yield"):
        replay_history(changed, [turn(0), started("flow")])
