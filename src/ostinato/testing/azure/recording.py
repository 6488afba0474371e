"""What a turn decided, written into history, and told to clients and people."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import assert_never

from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
)
from ostinato.testing.azure.events import (
    Event,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
    TimerCreated,
)
from ostinato.testing.azure.ports import one_line
from ostinato.testing.azure.status import Status

_STACK = re.compile(r'\n(?:Stack:| ?\{"\$type":"System\.).*', re.DOTALL)
"""What the extension and its SDKs write behind an error: a stack, an exception of .NET."""

_RAISED = re.compile(r"^(?:One or more errors occurred\. \()?Result: Failure\nException: ")
"""What the host and the extension write before the error of a function that raised."""


def event_of(decision: Decision, now: datetime) -> Event:
    """The event by which a decision is remembered."""
    match decision:
        case ScheduleTask():
            return TaskScheduled(
                timestamp=now,
                event_id=decision.id,
                name=decision.name,
                version=decision.version,
                tags=decision.tags,
            )
        case CreateTimer():
            return TimerCreated(timestamp=now, event_id=decision.id, fire_at=decision.fire_at)
        case CreateSubOrchestration():
            return SubOrchestrationInstanceCreated(
                timestamp=now,
                event_id=decision.id,
                name=decision.name,
                instance_id=decision.instance_id,
                version=decision.version,
                tags=decision.tags,
            )
        case SendEvent():
            return EventSent(
                timestamp=now,
                event_id=decision.id,
                instance_id=decision.instance_id,
                name=decision.name,
                input=decision.input,
            )
        case Complete():
            return ExecutionCompleted(
                timestamp=now,
                event_id=decision.id,
                status=decision.status,
                result=decision.result,
                failure=decision.failure,
            )
        case _:
            assert_never(decision)


def told_to_parent(how: Complete, task_id: int, now: datetime) -> Event:
    """The message by which a parent learns how its child ended."""
    if how.status is Status.Completed:
        return SubOrchestrationInstanceCompleted(timestamp=now, task_id=task_id, result=how.result)
    return SubOrchestrationInstanceFailed(
        timestamp=now,
        task_id=task_id,
        reason=how.result,
        details=how.details,
        failure=how.failure,
    )


def output_of(how: Complete) -> str | None:
    """What a client sees as the output."""
    if how.failure is not None:
        return f"{how.failure.error_type}: {how.failure.error_message}"
    return how.result


def told_of_end(started: ExecutionStarted, how: Complete) -> str | None:
    """The line for people about an instance that did not end well; None where it did."""
    match how.status:
        case Status.Failed:
            ended = "failed"
        case Status.Terminated:
            ended = "was terminated"
        case _:
            return None
    line = one_line(f"instance {started.instance_id} of {started.name!r} {ended}")
    reason = one_line(_reason(started, how))
    return f"{line}: {reason}" if reason else line


def _reason(started: ExecutionStarted, how: Complete) -> str:
    """Why it ended, without the stack and the name, which the extension puts around it."""
    if how.failure is not None:
        return output_of(how) or ""
    text = _unwrapped(how)
    text = text.removeprefix(f"Orchestrator function '{started.name}' failed: ")
    return _RAISED.sub("", _STACK.sub("", text))


def _unwrapped(how: Complete) -> str:
    """The result's text; that of a function that raised has the reason in its details alone."""
    try:
        value: object = json.loads(how.result or "null")
    except ValueError:
        return how.result or ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and how.details is not None:
        return how.details
    return how.result or ""
