"""Turns that go on from the one before decide what a replay of the whole history decides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from ostinato.testing.azure import decisions as d
from ostinato.testing.azure import events as e
from ostinato.testing.azure.history import History
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed, WorkersDied
from ostinato.testing.azure.shim import AnswerReplay, replay_answer
from ostinato.testing.azure.status import Status
from ostinato.testing.azure.wire import Wire
from tests.testing.azure.recorded import SCENARIOS, recording
from tests.testing.azure.test_shim import Names, answer, options_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ACT = {"actionType": 0, "functionName": "act", "input": "1"}
THREE = {"actionType": 12, "compoundActions": [ACT, ACT, ACT]}
GONE = {"actionType": 0, "functionName": "gone", "input": "1"}


class App(Names):
    """Gives one answer after another; it has the activities of the recordings, and ``more``."""

    def __init__(self, *answers: str, more: Sequence[str] = ()) -> None:
        self.answers = list(answers)
        self.more = more

    def has_activity(self, name: str) -> bool:
        return super().has_activity(name) or name in self.more

    def orchestrate(self, name: str, request: str) -> str:
        answer = self.answers.pop(0)
        if answer.startswith("die "):
            raise WorkersDied(answer.removeprefix("die "))
        if answer.startswith("raise "):
            raise FunctionFailed(answer.removeprefix("raise "), "none")
        return answer


def waits(*actions: dict[str, Any]) -> str:
    return json.dumps({"isDone": False, "schemaVersion": 2, "actions": [actions]})


def turns(history: Sequence[e.Event]) -> Iterator[list[e.Event]]:
    """The history in parts, each from the beginning of a turn to that of the next."""
    begins = [n for n, event in enumerate(history) if isinstance(event, e.OrchestratorStarted)]
    for begin, end in zip(begins, [*begins[1:], len(history)], strict=True):
        yield list(history[begin:end])


def told(*task_ids: int) -> list[e.Event]:
    done = [e.TaskCompleted(timestamp=NOW, task_id=id, result="1") for id in task_ids]
    return [e.OrchestratorStarted(timestamp=NOW), *done]


def begun() -> History:
    started = e.ExecutionStarted(
        timestamp=NOW, instance_id="i", execution_id="x", name="orch", input=None
    )
    return History([e.OrchestratorStarted(timestamp=NOW), started])


def ended(result: d.TurnResult) -> bool:
    return any(isinstance(decision, d.Complete) for decision in result.decisions)


def record(history: History, result: d.TurnResult) -> None:
    """Write what a turn decided, as the hub does."""
    for decision in result.decisions:
        assert isinstance(decision, d.ScheduleTask)
        history.append(e.TaskScheduled(timestamp=NOW, event_id=decision.id, name=decision.name))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recorded_history_played_turn_by_turn_ends_as_when_it_is_played_at_once(name: str):
    recorded = recording(name)
    compared = 0
    for call in recorded.calls:
        kept = AnswerReplay(answer(call), Names(), options_of(recorded))
        results = [kept.play(part) for part in turns(call.history)]
        if not any(ended(result) for result in results[:-1]):
            whole = replay_answer(call.history, answer(call), Names(), options_of(recorded))
            assert results[-1] == whole
            compared += 1
    assert compared or len(recorded.calls) == 1


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([waits(THREE)] * 3, id="the same at each turn"),
        pytest.param([waits(THREE), waits(THREE), waits(ACT, ACT)], id="another at the last"),
        pytest.param([waits(THREE), waits(ACT), waits(THREE)], id="the first again at the last"),
        pytest.param([waits(THREE), waits(THREE), "raise Error: no"], id="a failure at the last"),
        pytest.param([waits(THREE), waits(THREE), "nothing"], id="nonsense at the last"),
        pytest.param([waits(THREE), "raise Error: no", waits(THREE)], id="a failure in between"),
    ],
)
def test_a_wire_that_saw_the_turns_before_decides_as_one_that_did_not(answers: list[str]):
    kept, app, history = Wire(HubOptions()), App(*answers), begun()
    for number, given in enumerate(answers):
        if number:
            history.append(*told(number - 1))
        result = kept.take_turn(history, app)
        assert result == Wire(HubOptions()).take_turn(history, App(given))
        if not ended(result):
            record(history, result)


def test_an_app_that_was_deployed_meanwhile_is_asked_anew():
    kept, history = Wire(HubOptions()), begun()
    assert kept.take_turn(history, App(waits(GONE))).decisions == ()
    history.append(*told())
    [scheduled] = kept.take_turn(history, App(waits(GONE), more=["gone"])).decisions
    assert isinstance(scheduled, d.ScheduleTask)
    assert scheduled.name == "gone"


def test_a_turn_that_ended_its_workers_fails_with_that_and_is_not_compared_with_history():
    wire, app, history = Wire(HubOptions()), App(waits(ACT), "die it exited with code 3"), begun()
    record(history, wire.take_turn(history, app))
    history.append(*told(0))
    [ended] = wire.take_turn(history, app).decisions
    assert isinstance(ended, d.Complete)
    assert (ended.status, ended.result) == (
        Status.Failed,
        "Orchestrator function 'orch' failed: it exited with code 3",
    )
