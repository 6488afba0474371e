"""What the management API tells of an instance's history.

It gives events for people to look at: without task ids and turns, scheduling events merged into
their ends, times of scheduling kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from ostinato import events as ev
from ostinato.events import Event
from ostinato.failures import ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR, Failure
from ostinato_azure import envelope
from ostinato_azure.failures import failure_from_details, told_to_rewind
from ostinato_azure.markers import is_marker
from ostinato_azure.names import CLIENT, GATE

ORCHESTRATION_ERROR = "OrchestrationError"
"""Type of an instance's failure of which no more than a text is told."""

_TYPE = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception)): ")
"""What has the name of an exception: texts of others may have any word before a colon."""

_CHILD = "SubOrchestrationInstance"
_BEGUN = f"{_CHILD}Created"
_CHILDREN = {_BEGUN, f"{_CHILD}Completed", f"{_CHILD}Failed"}
_ENDS = {"ExecutionTerminated", "ExecutionCompleted"}


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A child as its parent's history tells of it."""

    instance_id: str
    parent_id: str
    is_open: bool
    """Whether the parent has not been told of its end."""
    until: datetime | None
    """When the parent was told of it, or ended itself; None where the history has neither."""
    begun: datetime | None = None
    """When it was asked for, where the history tells."""

    def was_before(self, found: dict[str, Any]) -> bool:
        """Whether the instance found under the child's id was there before it was asked for.

        The API tells of seconds at the most.
        """
        created = found.get("createdTime")
        if self.begun is None or created is None:
            return False
        return _time(created) < self.begun.replace(microsecond=0)

    def is_still(self, found: dict[str, Any]) -> bool:
        """Whether the instance found under the child's id is the child, not one started since.

        Where the API leaves out who an instance's parent is, what was created after the child's
        end, or its parent's, is taken for another.
        """
        # Left out where there is none, but also by older extensions, and by Azure Storage always.
        if "parentInstanceId" in found:
            return bool(found["parentInstanceId"] == self.parent_id)
        created = found.get("createdTime")
        return self.until is None or created is None or _time(created) <= self.until


def children_of(found: dict[str, Any]) -> list[Child]:
    """The children that a history tells of; of several with one id the last."""
    ended = _end_of(found)
    begun = found.get("createdTime")
    begin = datetime.min.replace(tzinfo=UTC) if begun is None else _time(begun)
    children: dict[str, Child] = {}
    for event in _events(found):
        kind, child_id = event["EventType"], event.get("InstanceId")
        if kind in _CHILDREN and child_id:
            is_open = kind == _BEGUN
            until = ended if is_open else _told_at(event)
            children[child_id] = Child(
                instance_id=child_id,
                parent_id=found["instanceId"],
                is_open=is_open,
                # A time before the parent's own is none: a host that tells no times writes 1970.
                until=None if until is not None and until < begin else until,
                begun=_told_at(event) if is_open else None,
            )
    return list(children.values())


def _end_of(found: dict[str, Any]) -> datetime | None:
    """When an instance ended; None where its history does not tell."""
    ends = [_told_at(event) for event in _events(found) if event["EventType"] in _ENDS]
    return ends[-1] if ends else None


def failed_children_of(found: dict[str, Any]) -> list[str]:
    """Ids of the children that failed."""
    ids = [e.get("InstanceId") for e in _events(found) if e["EventType"] == f"{_CHILD}Failed"]
    return [str(found_id) for found_id in ids if found_id]


def failures_in(found: dict[str, Any]) -> list[Failure]:
    """Why attempts of activities and children failed, in order."""
    kinds = {"TaskFailed": ACTIVITY_ERROR, f"{_CHILD}Failed": SUB_ORCHESTRATION_ERROR}
    return [
        _failure(event, kinds[event["EventType"]])
        for event in _events(found)
        if event["EventType"] in kinds
    ]


def failure_in(found: dict[str, Any]) -> Failure:
    """The failure that ended an instance.

    Without the history the API tells of ours ``<type>: <message>``, and of one that the host
    found a text of its own.
    """
    details, text = _told_of(found)
    named = _TYPE.match(text)
    if named is None:
        return failure_from_details(details, text, ORCHESTRATION_ERROR, found["name"])
    return failure_from_details(details, text[named.end() :], named[1], found["name"])


def rewinds(found: dict[str, Any]) -> bool | None:
    """Whether a rewind takes out what ended the instance and no more, where that is told."""
    return told_to_rewind(*_told_of(found))


def _told_of(found: dict[str, Any]) -> tuple[Any, str]:
    """The details and the text of the failure that ended an instance."""
    details: Any = None
    for event in _events(found):
        if event["EventType"] == "ExecutionCompleted":
            details = event.get("FailureDetails")
    output = found.get("output")
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return details, text


def history_of(found: dict[str, Any]) -> Sequence[Event]:
    """Return the history as far as the API tells it, in the order of time.

    Task ids, which it does not tell, count up in the order in which the events were scheduled.
    What the adapter itself schedules is left out.
    """
    return _History(found).events()


class _History:
    """Gathers events; the ids are given when all that was scheduled is known."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found
        self._scheduled: list[tuple[Event, Event | None]] = []
        """What was scheduled and how it ended, with ids that are yet to be given."""
        self._others: list[Event] = []
        for told in _events(found):
            self._take(told)

    def events(self) -> list[Event]:
        """All of them, oldest first."""
        in_order = sorted(self._scheduled, key=lambda pair: pair[0].at)
        history = list(self._others)
        for task_id, (begin, end) in enumerate(in_order):
            history.append(msgspec.structs.replace(begin, task_id=task_id))
            if end is not None:
                # Machines whose clocks differ stamp the two: the end may seem to be the earlier.
                at = max(begin.at, end.at)
                history.append(msgspec.structs.replace(end, task_id=task_id, at=at))
        return sorted(history, key=_place)

    def _take(self, told: dict[str, Any]) -> None:
        at = _time(told["Timestamp"])
        name = str(told.get("FunctionName") or told.get("Name") or "")
        scheduled = told.get("ScheduledTime")
        began = at if scheduled is None else _time(scheduled)
        if name in (GATE, CLIENT):
            return
        match told["EventType"]:
            case "TaskScheduled" | "TaskCompleted" | "TaskFailed":
                begin = ev.TaskScheduled(at=began, task_id=0, name=name)
                self._scheduled.append((begin, _end_of_activity(told, at, name)))
            case "SubOrchestrationInstanceCreated":
                self._scheduled.append((_child(told, began, name), None))
            case "SubOrchestrationInstanceCompleted":
                result = envelope.read_exact(_json(told.get("Result"))).text
                end = ev.SubOrchestrationInstanceCompleted(at=at, task_id=0, result=result)
                self._scheduled.append((_child(told, began, name), end))
            case "SubOrchestrationInstanceFailed":
                failure = _failure(told, SUB_ORCHESTRATION_ERROR, name)
                failed = ev.SubOrchestrationInstanceFailed(at=at, task_id=0, failure=failure)
                self._scheduled.append((_child(told, began, name), failed))
            case "TimerCreated":
                due = _time(told["FireAt"])
                if not is_marker(due):
                    self._scheduled.append((ev.TimerCreated(at=at, task_id=0, due=due), None))
            case "TimerFired":
                self._fire(at, _time(told["FireAt"]))
            case _:
                event = self._of_the_instance(told, at, name)
                if event is not None:
                    self._others.append(event)

    def _fire(self, at: datetime, due: datetime) -> None:
        """The first open timer that was due then has fired."""
        for position, (begin, end) in enumerate(self._scheduled):
            if isinstance(begin, ev.TimerCreated) and begin.due == due and end is None:
                self._scheduled[position] = (begin, ev.TimerFired(at=at, task_id=0, due=due))
                return

    def _of_the_instance(self, told: dict[str, Any], at: datetime, name: str) -> Event | None:
        reason = str(told.get("Reason") or told.get("Input") or "")
        match told["EventType"]:
            case "ExecutionStarted":
                payload = envelope.read(_text(told.get("Input")))
                return ev.ExecutionStarted(
                    at=at,
                    instance_id=self._found["instanceId"],
                    execution_id="",
                    name=name,
                    input=payload.text,
                    version=payload.version,
                    tags=payload.tags,
                )
            case "EventRaised":
                payload = envelope.read(_text(told.get("Input")))
                return ev.EventRaised(
                    at=at, name=name, data=payload.text, event_id=payload.event_id
                )
            case "ExecutionSuspended":
                return ev.ExecutionSuspended(at=at, reason=reason)
            case "ExecutionResumed":
                return ev.ExecutionResumed(at=at, reason=reason)
            case "ExecutionTerminated":
                return ev.ExecutionTerminated(at=at, reason=reason, cascade=False)
            case "ExecutionCompleted":
                return self._completed(told, at)
            case _:
                return None

    def _completed(self, told: dict[str, Any], at: datetime) -> Event:
        match told.get("OrchestrationStatus"):
            case "Failed":
                failure = failure_in(self._found)
                return ev.ExecutionCompleted(at=at, status="Failed", failure=failure)
            case "Terminated":
                return ev.ExecutionCompleted(at=at, status="Terminated")
            case _:
                result = envelope.read_exact(_json(told.get("Result"))).text
                return ev.ExecutionCompleted(at=at, status="Completed", result=result)


def _place(event: Event) -> tuple[datetime, int]:
    """By time; of what has one time, the beginning first and the end last."""
    match event:
        case ev.ExecutionStarted():
            return event.at, 0
        case ev.ExecutionCompleted():
            return event.at, 2
        case _:
            return event.at, 1


def _end_of_activity(told: dict[str, Any], at: datetime, name: str) -> Event | None:
    match told["EventType"]:
        case "TaskCompleted":
            result = envelope.read_exact(_json(told.get("Result"))).text
            return ev.TaskCompleted(at=at, task_id=0, result=result)
        case "TaskFailed":
            return ev.TaskFailed(at=at, task_id=0, failure=_failure(told, ACTIVITY_ERROR, name))
        case _:
            return None


def _child(told: dict[str, Any], at: datetime, name: str) -> ev.SubOrchestrationInstanceCreated:
    child_id = str(told.get("InstanceId") or "")
    return ev.SubOrchestrationInstanceCreated(at=at, task_id=0, name=name, instance_id=child_id)


def _failure(told: dict[str, Any], kind: str, name: str | None = None) -> Failure:
    return failure_from_details(told.get("FailureDetails"), told.get("Reason"), kind, name)


def _time(text: str) -> datetime:
    """A time as .NET writes it, which may be finer than a microsecond."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _told_at(event: dict[str, Any]) -> datetime | None:
    at = event.get("Timestamp")
    return None if at is None else _time(at)


def _events(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found.get("historyEvents") or []


def _text(value: Any) -> str | None:
    """The text of an input, which some versions of the extension give as JSON's own value."""
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
