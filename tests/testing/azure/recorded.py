"""The recorded traces, read back into the stand-in's own types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.testing.azure import events as e
from ostinato.testing.azure.dotnet import time_of
from ostinato.testing.azure.event_json import EVENT_TYPES, failure_from

TRACES = Path(__file__).parent / "traces"
OTHER_WIRES = {"durabletask-protocol", "http-management-api"}
SCENARIOS = sorted(path.stem for path in TRACES.glob("*.json") if path.stem not in OTHER_WIRES)
KINDS = {number: kind for kind, number in EVENT_TYPES.items()}


def scenario(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((TRACES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def event_of(recorded: dict[str, Any]) -> e.Event:
    """The event that a recorded request holds."""
    kind: Any = KINDS[recorded["EventType"]]
    base: dict[str, Any] = {
        "event_id": recorded["EventId"],
        "timestamp": time_of(recorded["Timestamp"]),
    }
    if kind is e.ExecutionStarted:
        parent = recorded["ParentInstance"]
        return e.ExecutionStarted(
            **base,
            instance_id=recorded["OrchestrationInstance"]["InstanceId"],
            execution_id=recorded["OrchestrationInstance"]["ExecutionId"],
            name=recorded["Name"],
            input=recorded["Input"],
            version=recorded["Version"],
            parent=parent
            and e.ParentInstance(
                name=parent["Name"],
                instance_id=parent["OrchestrationInstance"]["InstanceId"],
                execution_id=parent["OrchestrationInstance"]["ExecutionId"],
                task_id=parent["TaskScheduleId"],
                version=parent["Version"],
            ),
        )
    names = {
        "Name": "name",
        "Version": "version",
        "TaskScheduledId": "task_id",
        "TimerId": "timer_id",
        "Result": "result",
        "InstanceId": "instance_id",
        "Details": "details",
        "Reason": "reason",
    }
    given = {names[key]: value for key, value in recorded.items() if key in names}
    if "FireAt" in recorded:
        given["fire_at"] = time_of(recorded["FireAt"])
    if "FailureDetails" in recorded:
        given["failure"] = failure_from(recorded["FailureDetails"])
    if kind is e.ExecutionTerminated:
        given["reason"] = recorded["Input"]
    elif kind is e.EventRaised:
        given["input"] = recorded["Input"]
    event: e.Event = kind(**base, **given)
    return event


@dataclass
class Call:
    """One recorded call, and what its answer led to."""

    instance: str
    request: dict[str, Any]
    answer: dict[str, Any] | None
    raises: str | None
    scheduled: list[e.Event] | None = None
    """What it added to history; None where no later request shows it."""
    next_generation: Call | None = None
    at: int = 0

    @property
    def history(self) -> list[e.Event]:
        return [event_of(event) for event in self.request["history"]]

    @property
    def execution(self) -> str:
        started = next(x for x in self.request["history"] if x["EventType"] == 0)
        return str(started["OrchestrationInstance"]["ExecutionId"])


@dataclass
class Recording:
    calls: list[Call] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    options: dict[str, int] = field(default_factory=dict)
    children: dict[str, e.Event] = field(default_factory=dict)
    """How each child ended, as its parent was told, by the child's instance id."""


def recording(name: str) -> Recording:
    loaded = scenario(name)
    made = Recording(final=loaded["final"], options=loaded["options"])
    last: dict[str, Call] = {}
    for at, step in enumerate(loaded["steps"]):
        if "request" not in step:
            continue
        call = Call(
            step["instance"], step["request"], step.get("answer"), step.get("raises"), at=at
        )
        before = last.get(call.instance)
        if before is not None and before.execution == call.execution:
            before.scheduled = list(_scheduled(call.history[len(before.history) :]))
        elif before is not None:
            before.next_generation = call
        last[call.instance] = call
        made.calls.append(call)
        _note_children(call.history, made.children)
    return made


def _scheduled(events: list[e.Event]) -> Iterator[e.Event]:
    for event in events:
        if isinstance(event, e.OrchestratorCompleted | e.OrchestratorStarted):
            return
        yield event


def _note_children(history: list[e.Event], children: dict[str, e.Event]) -> None:
    ids = {
        x.event_id: x.instance_id
        for x in history
        if isinstance(x, e.SubOrchestrationInstanceCreated)
    }
    for event in history:
        if isinstance(
            event, e.SubOrchestrationInstanceCompleted | e.SubOrchestrationInstanceFailed
        ):
            children[ids[event.task_id]] = event
