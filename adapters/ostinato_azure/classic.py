"""The classic wire: the JSON that the stable extension speaks to Python apps.

The answer lists all actions of the execution so far. The extension runs that list from the top
whenever it replays, one action after another, each awaited. So everything stands in groups that
wait for nothing: a WhenAny that also holds an empty WhenAll. What has to be waited for stands
alone: a gate before a timer that would be too long for the extension's clock, which stays where
it last awaited something; and, before ContinueAsNew, one wait for each external event that came,
so that the extension carries none of them over by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from ostinato import events as ev
from ostinato.actions import Completed, ContinuedAsNew, Failed, Terminated
from ostinato.events import Event, Parent
from ostinato.failures import (
    ACTIVITY_ERROR,
    SUB_ORCHESTRATION_ERROR,
    Failure,
    unstructured,
)
from ostinato_azure import envelope
from ostinato_azure.entries import Entry, Kind
from ostinato_azure.failures import (
    ending,
    failure_details,
    failure_from_details,
    failure_text,
    summary,
)
from ostinato_azure.live import LiveTables, give_up, take_turn, transcript_of
from ostinato_azure.names import CLIENT, GATE
from ostinato_azure.table import Surroundings, Table
from ostinato_azure.turns import taken_out

DETAILS_SINCE = 3
"""``upperSchemaVersionNew`` from which on an answer may hold ``failureDetails``."""

ANSWER_MARK = "\n\n$OutOfProcData$:"
"""Before the answer in the text that a function fails with; the extension looks for it."""

MOST_ACTIONS = 100_000
"""Beyond this many actions the extension hangs without a word."""


class OrchestrationFailedError(Exception):
    """The way in which the classic wire answers that an orchestration failed.

    Its text is one line for people and then the answer, behind the extension's own mark.
    """


class _Instance(msgspec.Struct, rename="pascal"):
    instance_id: str
    execution_id: str = ""


class _ParentInstance(msgspec.Struct, rename="pascal"):
    orchestration_instance: _Instance
    task_schedule_id: int = -1


class _HostEvent(msgspec.Struct, rename="pascal"):
    """An event as the extension writes it; fields that no translation needs are left out."""

    event_type: int
    timestamp: str
    event_id: int = -1
    name: str = ""
    input: str | None = None
    version: str | None = None
    orchestration_instance: _Instance | None = None
    parent_instance: _ParentInstance | None = None
    task_scheduled_id: int = -1
    timer_id: int = -1
    instance_id: str = ""
    fire_at: str = ""
    result: str | None = None
    reason: str | None = None
    failure_details: dict[str, Any] | None = None


class _Request(msgspec.Struct, rename="camel"):
    history: list[msgspec.Raw]
    instance_id: str = ""
    upper_schema_version_new: int = 0
    long_running_timer_interval_duration: str | None = None
    maximum_short_timer_duration: str | None = None


_read = msgspec.json.Decoder(_Request).decode
_read_event = msgspec.json.Decoder(_HostEvent).decode
_encode = msgspec.json.Encoder().encode


class _History:
    """The history of a request, of which only what is looked at is read."""

    def __init__(self, events: list[msgspec.Raw]) -> None:
        self._events = events

    def __len__(self) -> int:
        return len(self._events)

    def event(self, position: int) -> Event | None:
        """See `HostHistory.event`."""
        return _event(_read_event(self._events[position]))

    def mark(self, position: int) -> object:
        """See `HostHistory.mark`; whether the event was played is no part of it."""
        return _read_event(self._events[position])


def respond(request: str, around: Surroundings, live: LiveTables | None = None) -> str:
    """Return the answer to the extension's request, both JSON text.

    Raises:
        OrchestrationFailedError: The orchestration failed; the function must fail with it.
        msgspec.MsgspecError: The text is no such request.
    """
    asked = _read(request)
    return take_turn(
        asked.instance_id,
        _History(asked.history),
        _with_timers(around, asked),
        live,
        lambda table: _answer(table, asked),
        size=len(request),
    )


def fail(request: str, around: Surroundings, failure: Failure) -> str:
    """Answer that the instance failed, for a reason that keeps its orchestrator from being run.

    Returns:
        The answer to one that was terminated, for which the reason does not matter any more.

    Raises:
        OrchestrationFailedError: It failed; the function must fail with it.
    """
    asked = _read(request)
    history = _History(asked.history)
    return give_up(asked.instance_id, history, around, failure, lambda table: _answer(table, asked))


def read_history(request: str, around: Surroundings) -> list[Event]:
    """Return the history in a request as the core has it, to be replayed and looked at."""
    asked = _read(request)
    return transcript_of(_History(asked.history), _with_timers(around, asked))


# Requests


def _with_timers(around: Surroundings, asked: _Request) -> Surroundings:
    """The surroundings with the timers that this extension's storage can keep."""
    longest = asked.maximum_short_timer_duration
    hop = asked.long_running_timer_interval_duration
    if longest is None or hop is None:
        return around
    return replace(around, longest_timer=_span(longest), hop=_span(hop))


def _event(host: _HostEvent) -> Event | None:
    """An event of the extension's as the core's, with the host's task ids."""
    at = _time(host.timestamp)
    match host.event_type:
        case 5:
            result = envelope.read_exact(host.result).text
            return ev.TaskCompleted(at=at, task_id=host.task_scheduled_id, result=result)
        case 4:
            return ev.TaskScheduled(at=at, task_id=host.event_id, name=host.name)
        case 12:
            return ev.OrchestratorStarted(at=at)
        case 6:
            failure = _failure(host, ACTIVITY_ERROR)
            return ev.TaskFailed(at=at, task_id=host.task_scheduled_id, failure=failure)
        case 0:
            return _started(host, at)
        case 3:
            return ev.ExecutionTerminated(at=at, reason=host.input or "", cascade=False)
        case 7:
            return ev.SubOrchestrationInstanceCreated(
                at=at, task_id=host.event_id, name=host.name, instance_id=host.instance_id
            )
        case 8:
            return ev.SubOrchestrationInstanceCompleted(
                at=at, task_id=host.task_scheduled_id, result=envelope.read_exact(host.result).text
            )
        case 9:
            failure = _failure(host, SUB_ORCHESTRATION_ERROR)
            return ev.SubOrchestrationInstanceFailed(
                at=at, task_id=host.task_scheduled_id, failure=failure
            )
        case 10:
            return ev.TimerCreated(at=at, task_id=host.event_id, due=_time(host.fire_at))
        case 11:
            return ev.TimerFired(at=at, task_id=host.timer_id, due=_time(host.fire_at))
        case 15:
            return ev.EventRaised(at=at, name=host.name, data=host.input or "null")
        case 17:
            return taken_out(at, host.event_id)
        case 19:
            return ev.ExecutionSuspended(at=at, reason=host.reason or host.input or "")
        case 20:
            return ev.ExecutionResumed(at=at, reason=host.reason or host.input or "")
        case _:
            return None


def _started(host: _HostEvent, at: datetime) -> ev.ExecutionStarted:
    instance, parent = host.orchestration_instance, host.parent_instance
    assert instance is not None
    return ev.ExecutionStarted(
        at=at,
        instance_id=instance.instance_id,
        execution_id=instance.execution_id,
        name=host.name,
        input=host.input or "null",
        version=host.version or None,
        parent=None
        if parent is None
        else Parent(
            parent.orchestration_instance.instance_id,
            parent.orchestration_instance.execution_id,
            parent.task_schedule_id,
        ),
    )


def _failure(host: _HostEvent, kind: str) -> Failure:
    return failure_from_details(host.failure_details, host.reason, kind)


@lru_cache(maxsize=4096)  # what is scheduled together bears one time
def _time(text: str) -> datetime:
    """An ISO time; what is finer than a microsecond is cut off."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}").replace(tzinfo=UTC)


_SPAN = re.compile(r"(?:(\d+)\.)?(\d+):(\d+):(\d+)(?:\.(\d+))?")


def _span(text: str) -> timedelta:
    """A .NET TimeSpan in its constant format, ``d.hh:mm:ss.fffffff``."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    days, hours, minutes, seconds, ticks = found.groups(default="0")
    micros = int(f"{ticks[:6]:0<6}")
    return timedelta(int(days), int(seconds), micros, 0, int(minutes), int(hours))


# Answers


def _answer(table: Table, asked: _Request) -> str:
    outcome = table.outcome
    new = table.take_unrecorded()
    count = table.next_host_id + len(new)
    if isinstance(outcome, ContinuedAsNew):
        count += len(table.raised) + 1
    if count > MOST_ACTIONS:
        outcome, new = Failed(_too_many(count)), []
    actions = list(_actions(table, new))
    answer: dict[str, Any] = {
        "isDone": isinstance(outcome, Completed | ContinuedAsNew),
        "schemaVersion": 2,
        "actions": [actions],
    }
    if table.custom_status is not None:
        answer["customStatus"] = msgspec.Raw(table.custom_status.encode())
    match outcome:
        case Completed(output):
            payload = envelope.written(envelope.plain(output))
            answer["output"] = msgspec.Raw(payload.encode())
        case ContinuedAsNew():
            actions += [
                {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}
                for name in table.raised
            ]
            actions.append({"actionType": 4, "input": table.continuation(outcome)})
        case Failed(failure):
            _add_failure(answer, ending(failure, rewinds=table.rewinds), asked)
            written = _encode(answer).decode()
            raise OrchestrationFailedError(f"{summary(failure)}{ANSWER_MARK}{written}")
        case Terminated() | None:
            pass
    return _encode(answer).decode()


def _add_failure(answer: dict[str, Any], failure: Failure, asked: _Request) -> None:
    if asked.upper_schema_version_new >= DETAILS_SINCE:
        answer["schemaVersion"] = DETAILS_SINCE
        answer["error"] = summary(failure)
        answer["failureDetails"] = failure_details(failure)
    else:
        answer["error"] = failure_text(failure)


def _too_many(count: int) -> Failure:
    return unstructured(
        "UnsupportedError",
        f"it asks for {count:,} things in one generation, and the Durable extension hangs beyond "
        f"{MOST_ACTIONS:,}: give parts of the work to children, or continue as new in between",
    )


def _actions(table: Table, new: list[Entry]) -> Iterator[_Action]:
    """All actions of the execution: groups that block nothing, and gates between them.

    They end before one whose function is gone: the extension would pass it over without taking
    an id, give its id to the next, and write what came of that into the history for good. As it
    is, it finds the history longer than the answer, and fails the instance with nothing written;
    once the function is back, the instance can be rewound.
    """
    group: list[_Action] = []
    # Nothing goes on with a call whose function is gone: the core found each of them in the app.
    has_ended = table.outcome is not None
    for entry in table.known:
        if has_ended and table.is_gone(entry):
            yield from _grouped(group)
            return
        if entry.kind is Kind.GATE:
            yield from _grouped(group)
            group = []
            yield _GATE
        else:
            group.append(_action(entry, table))
    has_gate = table.gate_is_pending
    for entry in new:
        if entry.kind is Kind.TIMER:
            assert entry.due is not None
            entry.fires = table.fires_at(entry.due)
            if not has_gate and table.outruns_clock(entry.fires):
                yield from _grouped(group)
                group = []
                yield _GATE
                has_gate = True
        group.append(_action(entry, table))
    yield from _grouped(group)


_Action: TypeAlias = dict[str, Any] | msgspec.Raw

_GATE: _Action = {"actionType": 0, "functionName": GATE, "input": None}
_NOTHING: _Action = {"actionType": 12, "compoundActions": []}


def _grouped(group: list[_Action]) -> Iterator[_Action]:
    if group:
        yield {"actionType": 11, "compoundActions": [*group, _NOTHING]}


@lru_cache(maxsize=256)
def _past_activity(name: str) -> msgspec.Raw:
    """An activity of the history: most of a long answer is this."""
    return msgspec.Raw(_encode({"actionType": 0, "functionName": name, "input": None}))


def _action(entry: Entry, table: Table) -> _Action:
    new = not entry.recorded
    match entry.kind:
        case Kind.ACTIVITY | Kind.CLIENT:
            name = CLIENT if entry.kind is Kind.CLIENT else entry.name
            if not new:
                return _past_activity(name)
            return {"actionType": 0, "functionName": name, "input": entry.given}
        case Kind.CHILD:
            return {
                "actionType": 2,
                "functionName": entry.name,
                "instanceId": entry.instance_id,
                "input": entry.given if new else None,
            }
        case Kind.TIMER | Kind.MARKER:
            assert entry.fires is not None
            return {
                "actionType": 5,
                "fireAt": entry.fires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "isCanceled": entry.replaced or (not entry.finished and not table.is_wanted(entry)),
            }
        case Kind.GATE:
            return _GATE
