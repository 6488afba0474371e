"""temporalio: its Replayer on a synthetic history (no server, no sandbox)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import common
from temporalio import workflow
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
QUEUE = "bench"
CHECK_IDS_AND_TYPES = 1
"""The core's flag, which a real worker records, for comparing each activity with history."""

outputs: list[int] = []
"""What the workflows returned: a replay gives no output."""


@workflow.defn(name="chain")
class Chain:
    @workflow.run
    async def run(self, steps: int) -> int:
        value = 0
        for _ in range(steps):
            value = await _add_one(value)
        outputs.append(value)
        return value


@workflow.defn(name="fan_out")
class FanOut:
    @workflow.run
    async def run(self, items: int) -> int:
        total = sum(await asyncio.gather(*[_add_one(i) for i in range(items)]))
        outputs.append(total)
        return total


def _add_one(value: int):
    return workflow.execute_activity(
        "add_one", value, result_type=int, start_to_close_timeout=timedelta(minutes=1)
    )


def replay(shape: str, activities: int, turn: int):
    """Parse the history's bytes and replay it; a mismatch raises."""
    build = sequential_history if shape == "sequential" else fan_out_history
    took = asyncio.run(_replay(build(10, turn), build(activities, turn)))
    expected = activities if shape == "sequential" else activities * (activities + 1) // 2
    assert outputs[1:] == [expected], outputs
    return {"activities_per_s": activities / took, "version": version("temporalio")}


async def _replay(short: History, whole: History) -> float:
    """Seconds for the whole history, after a short one that warms the runtime up."""
    replayer = Replayer(workflows=[Chain, FanOut], workflow_runner=UnsandboxedWorkflowRunner())
    for history in (short, whole):
        stored = history.SerializeToString()
        began = time.perf_counter()
        events = list(History.FromString(stored).events)
        await replayer.replay_workflow(WorkflowHistory("i", events))
        took = time.perf_counter() - began
    return took


class Log:
    """A history that numbers its events."""

    def __init__(self, name: str, activities: int) -> None:
        self.history = History()
        self.now = EPOCH
        started = self.add("WORKFLOW_EXECUTION_STARTED").workflow_execution_started_event_attributes
        started.workflow_type.name = name
        started.task_queue.name = QUEUE
        started.input.CopyFrom(_payloads(activities))
        started.original_execution_run_id = "r"
        started.first_execution_run_id = "r"
        started.attempt = 1
        self.decision = 0
        self.scheduled: dict[int, int] = {}

    def add(self, kind: str) -> HistoryEvent:
        event = self.history.events.add()
        event.event_id = len(self.history.events)
        event.event_type = EventType.Value(f"EVENT_TYPE_{kind}")
        event.event_time.FromDatetime(self.now)
        return event

    def turn(self) -> None:
        scheduled = self.add("WORKFLOW_TASK_SCHEDULED")
        scheduled.workflow_task_scheduled_event_attributes.task_queue.name = QUEUE
        started = self.add("WORKFLOW_TASK_STARTED")
        started.workflow_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        completed = self.add("WORKFLOW_TASK_COMPLETED")
        fields = completed.workflow_task_completed_event_attributes
        fields.scheduled_event_id = scheduled.event_id
        fields.started_event_id = started.event_id
        if not self.decision:
            fields.sdk_metadata.core_used_flags.append(CHECK_IDS_AND_TYPES)
        self.decision = completed.event_id

    def schedule(self, number: int) -> None:
        event = self.add("ACTIVITY_TASK_SCHEDULED")
        fields = event.activity_task_scheduled_event_attributes
        fields.activity_id = str(number + 1)
        fields.activity_type.name = "add_one"
        fields.task_queue.name = QUEUE
        fields.input.CopyFrom(_payloads(number))
        fields.workflow_task_completed_event_id = self.decision
        self.scheduled[number] = event.event_id

    def complete(self, number: int) -> None:
        started = self.add("ACTIVITY_TASK_STARTED")
        started.activity_task_started_event_attributes.scheduled_event_id = self.scheduled[number]
        completed = self.add("ACTIVITY_TASK_COMPLETED")
        fields = completed.activity_task_completed_event_attributes
        fields.scheduled_event_id = self.scheduled[number]
        fields.started_event_id = started.event_id
        fields.result.CopyFrom(_payloads(number + 1))

    def end(self, output: int) -> History:
        fields = self.add(
            "WORKFLOW_EXECUTION_COMPLETED"
        ).workflow_execution_completed_event_attributes
        fields.result.CopyFrom(_payloads(output))
        fields.workflow_task_completed_event_id = self.decision
        return self.history


def _payloads(value: int) -> Payloads:
    return Payloads(payloads=DataConverter.default.payload_converter.to_payloads([value]))


def sequential_history(activities: int, turn: int) -> History:
    """One turn an activity: its predecessor's result, then its scheduling."""
    log = Log("chain", activities)
    log.turn()
    for number in range(activities):
        log.schedule(number)
        log.now = EPOCH + timedelta(milliseconds=number)
        log.complete(number)
        log.turn()
    return log.end(activities)


def fan_out_history(activities: int, turn: int) -> History:
    """A turn that schedules everything, then turns of ``turn`` results each."""
    log = Log("fan_out", activities)
    log.turn()
    for number in range(activities):
        log.schedule(number)
    for first in range(0, activities, turn):
        log.now = EPOCH + timedelta(milliseconds=first)
        for number in range(first, min(first + turn, activities)):
            log.complete(number)
        log.turn()
    return log.end(activities * (activities + 1) // 2)


if __name__ == "__main__":
    common.serve_child({"replay": replay})
