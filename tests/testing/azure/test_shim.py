from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ostinato.testing.azure import decisions as d
from ostinato.testing.azure import events as e
from ostinato.testing.azure.answers import Answer, BadAnswer, answer_of, answer_of_failure
from ostinato.testing.azure.dotnet import parsed
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.shim import replay_answer
from ostinato.testing.azure.status import Status
from tests.testing.azure.recorded import SCENARIOS, Call, Recording, recording


class Names:
    """The functions that the recordings had; they are called by nobody."""

    grpc = False

    def has_orchestration(self, name: str) -> bool:
        return name in ("orch", "child")

    def has_activity(self, name: str) -> bool:
        return name in ("act", "slow", "noop")

    def has_entity(self, name: str) -> bool:
        return False

    def orchestrate(self, name: str, request: str) -> str:
        raise AssertionError(name)

    def run_activity(self, name: str, input: str) -> str | None:
        raise AssertionError(name)

    def run_entity(self, name: str, request: str) -> str:
        raise AssertionError(name)


def options_of(recorded: Recording) -> HubOptions:
    return HubOptions(
        maximum_short_timer=timedelta(seconds=recorded.options["maximumDelaySeconds"]),
        long_timer_interval=timedelta(seconds=recorded.options["longRunningTimerIntervalSeconds"]),
    )


def answer(call: Call) -> Answer | BadAnswer:
    try:
        if call.raises is not None:
            return answer_of_failure(FunctionFailed(call.raises, "none"))
        return answer_of(json.dumps(call.answer))
    except BadAnswer as bad:
        return bad


def as_scheduled(event: e.Event) -> tuple[Any, ...]:
    match event:
        case e.TaskScheduled():
            return ("task", event.event_id, event.name)
        case e.TimerCreated():
            return ("timer", event.event_id, event.fire_at)
        case e.SubOrchestrationInstanceCreated():
            return ("child", event.event_id, event.name, event.instance_id)
        case _:
            raise AssertionError(event)


def as_decided(decision: d.Decision) -> tuple[Any, ...]:
    match decision:
        case d.ScheduleTask():
            return ("task", decision.id, decision.name)
        case d.CreateTimer():
            return ("timer", decision.id, decision.fire_at)
        case d.CreateSubOrchestration():
            return ("child", decision.id, decision.name, decision.instance_id)
        case _:
            raise AssertionError(decision)


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_recorded_answer_schedules_what_the_extension_scheduled(name: str):
    recorded = recording(name)
    for call in recorded.calls:
        result = replay_answer(call.history, answer(call), Names(), options_of(recorded))
        new = [x for x in result.decisions if not isinstance(x, d.Complete)]
        if call.scheduled is not None:
            assert [as_decided(x) for x in new] == [as_scheduled(x) for x in call.scheduled]
            assert not any(isinstance(x, d.Complete) for x in result.decisions)


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_recorded_execution_ends_as_it_did_on_the_extension(name: str):
    recorded = recording(name)
    for call in recorded.calls:
        if call.scheduled is not None:
            continue
        result = replay_answer(call.history, answer(call), Names(), options_of(recorded))
        complete = next((x for x in result.decisions if isinstance(x, d.Complete)), None)
        if call.next_generation is not None:
            started = next(
                x for x in call.next_generation.history if isinstance(x, e.ExecutionStarted)
            )
            carried = [x for x in call.next_generation.history if isinstance(x, e.EventRaised)]
            assert complete is not None
            assert complete.status is Status.ContinuedAsNew
            assert complete.result == started.input
            assert [(x.name, x.input) for x in complete.carried] == [
                (x.name, x.input) for x in carried
            ]
        elif call.instance == recorded.final["InstanceId"]:
            if recorded.final["RuntimeStatus"] == "ContinuedAsNew":
                continue  # what is recorded is the first generation's end, seen above
            if recorded.final["RuntimeStatus"] == "Running":
                assert complete is None
                continue
            assert complete is not None
            assert complete.status.name == recorded.final["RuntimeStatus"]
            assert parsed(output(complete)) == recorded.final["Output"]
            assert parsed(result.custom_status) == recorded.final["CustomStatus"]
        else:
            ended = recorded.children.get(call.instance)
            match ended:
                case None:
                    continue  # the recording stops before it ends
                case e.SubOrchestrationInstanceCompleted(result=text):
                    assert complete is not None
                    assert (complete.status, complete.result) == (Status.Completed, text)
                case e.SubOrchestrationInstanceFailed():
                    assert complete is not None
                    assert complete.status is Status.Failed
                    assert (complete.result, complete.failure) == (ended.reason, ended.failure)
                case _:
                    raise AssertionError(ended)


def output(complete: d.Complete) -> str | None:
    if complete.failure is not None:
        return f"{complete.failure.error_type}: {complete.failure.error_message}"
    return complete.result
