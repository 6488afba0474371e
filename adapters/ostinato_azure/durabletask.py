"""The Durable Task wire: base64 of protobuf, as the extension speaks it to apps that ask for it.

Each answer holds new actions only, with their ids, and completion takes effect at once, whatever
is open. So completion is held back until the last operation with the durable client is done. A
timer that the classic wire's clock would find too long waits for a gate here as well, since the
histories of both wires are to go on on either.
The host compares nothing with its history and says itself that an instance was terminated.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, assert_never

import durabletask.internal.orchestrator_service_pb2 as pb
import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from ostinato import events as ev
from ostinato.actions import Completed, ContinuedAsNew, Failed, Outcome, Terminated
from ostinato.events import Event, Json, Parent
from ostinato.failures import ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR, Failure
from ostinato.ids import derived_id
from ostinato_azure import envelope
from ostinato_azure.entries import Entry, Kind
from ostinato_azure.failures import PROPERTY, ending, failure_from_details
from ostinato_azure.live import LiveTables, give_up, take_turn, transcript_of
from ostinato_azure.names import CLIENT, GATE
from ostinato_azure.rewound import rewound
from ostinato_azure.table import Surroundings, Table
from ostinato_azure.turns import taken_out


def respond(
    request: str,
    around: Surroundings,
    live: LiveTables | None = None,
    fetch: Callable[[pb.OrchestratorRequest], None] | None = None,
) -> str:
    """Return the answer to the extension's request, both base64 of protobuf.

    Args:
        request: The text.
        around: The function app.
        live: Where executions are kept between their turns, if anywhere.
        fetch: Puts in its place what is claimed in the history of a turn, if anything may be. A
            rewind gives the history back with its claims.

    Raises:
        ValueError: The text is no such request.
    """
    asked = _asked(request)
    answer = rewound(asked)
    if answer is None:
        if fetch is not None:
            fetch(asked)
        answer = take_turn(
            asked.instanceId,
            _History(asked),
            around,
            live,
            lambda table: _answer(table, asked),
            size=len(request) if fetch is None else asked.ByteSize(),
        )
    return b64encode(answer.SerializeToString()).decode()


def fail(request: str, around: Surroundings, failure: Failure) -> str:
    """Answer that the instance failed, for a reason that keeps its orchestrator from being run."""
    asked = _asked(request)
    history = _History(asked)
    answer = give_up(
        asked.instanceId, history, around, failure, lambda table: _answer(table, asked)
    )
    return b64encode(answer.SerializeToString()).decode()


def read_history(request: str, around: Surroundings) -> list[Event]:
    """Return the history in a request as the core has it, to be replayed and looked at."""
    return transcript_of(_History(_asked(request)), around)


# Requests


def _asked(request: str) -> pb.OrchestratorRequest:
    try:
        return pb.OrchestratorRequest.FromString(b64decode(request, validate=True))
    except DecodeError as error:
        raise ValueError(f"this is no orchestrator request: {error}") from None


def _history(asked: pb.OrchestratorRequest) -> Iterator[Any]:
    yield from asked.pastEvents
    yield from asked.newEvents


class _History:
    """The history of a request."""

    def __init__(self, asked: pb.OrchestratorRequest) -> None:
        self._asked = asked
        self._events = list(_history(asked))

    def __len__(self) -> int:
        return len(self._events)

    def event(self, position: int) -> Event | None:
        """See `HostHistory.event`."""
        return _event(self._events[position], self._asked)

    def mark(self, position: int) -> object:
        """See `HostHistory.mark`; a message itself would hold the whole request in memory."""
        return sha256(self._events[position].SerializeToString(deterministic=True)).digest()


def _event(host: Any, asked: pb.OrchestratorRequest) -> Event | None:
    """An event of the host's as the core's, with the host's task ids."""
    kind = host.WhichOneof("eventType")
    if kind is None:  # of a later version of the protocol
        return None
    body = getattr(host, kind)
    at = _time(host.timestamp)
    match kind:
        case "taskCompleted":
            return ev.TaskCompleted(
                at=at,
                task_id=body.taskScheduledId,
                result=envelope.read_exact(_text(body, "result")).text,
            )
        case "taskScheduled":
            return ev.TaskScheduled(at=at, task_id=host.eventId, name=body.name)
        case "orchestratorStarted":
            return ev.OrchestratorStarted(at=at)
        case "taskFailed":
            failure = _failure(body, ACTIVITY_ERROR)
            return ev.TaskFailed(at=at, task_id=body.taskScheduledId, failure=failure)
        case "executionStarted":
            return _started(body, at, asked)
        case "executionTerminated":
            reason = _reason(_text(body, "input"))
            return ev.ExecutionTerminated(at=at, reason=reason, cascade=False)
        case "subOrchestrationInstanceCreated":
            return ev.SubOrchestrationInstanceCreated(
                at=at, task_id=host.eventId, name=body.name, instance_id=body.instanceId
            )
        case "subOrchestrationInstanceCompleted":
            return ev.SubOrchestrationInstanceCompleted(
                at=at,
                task_id=body.taskScheduledId,
                result=envelope.read_exact(_text(body, "result")).text,
            )
        case "subOrchestrationInstanceFailed":
            failure = _failure(body, SUB_ORCHESTRATION_ERROR)
            return ev.SubOrchestrationInstanceFailed(
                at=at, task_id=body.taskScheduledId, failure=failure
            )
        case "timerCreated":
            return ev.TimerCreated(at=at, task_id=host.eventId, due=_time(body.fireAt))
        case "timerFired":
            return ev.TimerFired(at=at, task_id=body.timerId, due=_time(body.fireAt))
        case "eventRaised":
            return ev.EventRaised(at=at, name=body.name, data=_text(body, "input") or "null")
        case "executionRewound":
            return ev.ExecutionRewound(at=at)
        case "genericEvent":
            return taken_out(at, host.eventId)
        case "executionSuspended":
            return ev.ExecutionSuspended(at=at, reason=_reason(_text(body, "input")))
        case "executionResumed":
            return ev.ExecutionResumed(at=at, reason=_reason(_text(body, "input")))
        case _:
            return None


def _started(body: Any, at: datetime, asked: pb.OrchestratorRequest) -> ev.ExecutionStarted:
    parent = body.parentInstance if body.HasField("parentInstance") else None
    instance = body.orchestrationInstance
    input = _text(body, "input") or "null"
    return ev.ExecutionStarted(
        at=at,
        instance_id=instance.instanceId or asked.instanceId,
        execution_id=_text(instance, "executionId")
        or _text(asked, "executionId")
        or _made_up_id(asked, input),
        name=body.name,
        input=input,
        version=_text(body, "version") or None,
        parent=None
        if parent is None
        else Parent(
            parent.orchestrationInstance.instanceId,
            _text(parent.orchestrationInstance, "executionId") or "",
            parent.taskScheduledId,
        ),
    )


def _made_up_id(asked: pb.OrchestratorRequest, input: str) -> str:
    """The id of an execution that the host gave none: by what sets its generation apart."""
    first = next(_history(asked)).timestamp
    return derived_id("", asked.instanceId, f"{first.seconds}.{first.nanos:09}", input)


def _text(message: Any, name: str) -> str | None:
    """An optional text of a message."""
    return getattr(message, name).value if message.HasField(name) else None


def _reason(text: str | None) -> str:
    """A reason, which some hosts write as JSON."""
    try:
        found: Any = msgspec.json.decode(text or "null")
    except msgspec.MsgspecError:
        found = text
    return found if isinstance(found, str) else text or ""


def _failure(body: Any, kind: str) -> Failure:
    if not body.HasField("failureDetails"):
        return failure_from_details(None, "it failed, and the host says no more", kind)
    details = body.failureDetails
    properties = {name: value.string_value for name, value in details.properties.items()}
    return failure_from_details({"Properties": properties}, details.errorMessage, kind)


def _time(stamp: Any) -> datetime:
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


# Answers


def _answer(table: Table, asked: pb.OrchestratorRequest) -> pb.OrchestratorResponse:
    actions = list(_actions(table))
    outcome = table.outcome
    if outcome is not None and (isinstance(outcome, Terminated) or not table.is_draining):
        next_id = max([table.next_host_id, *(action.id + 1 for action in actions)])
        actions.append(_completion(outcome, table, next_id))
    status = table.custom_status
    return pb.OrchestratorResponse(
        instanceId=asked.instanceId,
        actions=actions,
        customStatus=None if status is None else StringValue(value=status),
    )


def _actions(table: Table) -> Iterator[pb.OrchestratorAction]:
    """What the host has not recorded, by id."""
    for entry in table.known:
        if not entry.recorded:  # a rewind took its event away
            yield _action(entry, entry.host_id, table)
    if table.gate_is_pending and table.outcome is None:
        return
    for host_id, entry in enumerate(table.take_unrecorded(), table.next_host_id):
        if entry.kind is Kind.TIMER:
            assert entry.due is not None
            if table.outruns_clock(table.fires_at(entry.due)):
                yield _action(Entry(Kind.GATE, name=GATE), host_id, table)
                return
        yield _action(entry, host_id, table)


def _action(entry: Entry, host_id: int, table: Table) -> pb.OrchestratorAction:
    match entry.kind:
        case Kind.ACTIVITY | Kind.CLIENT | Kind.GATE:
            name = {Kind.CLIENT: CLIENT, Kind.GATE: GATE}.get(entry.kind, entry.name)
            task = pb.ScheduleTaskAction(name=name, input=StringValue(value=entry.given))
            return pb.OrchestratorAction(id=host_id, scheduleTask=task)
        case Kind.CHILD:
            child = pb.CreateSubOrchestrationAction(
                instanceId=entry.instance_id,
                name=entry.name,
                input=StringValue(value=entry.given),
            )
            return pb.OrchestratorAction(id=host_id, createSubOrchestration=child)
        case Kind.TIMER | Kind.MARKER:
            assert entry.due is not None
            fires = entry.due if entry.kind is Kind.MARKER else table.fires_at(entry.due)
            stamp = Timestamp()
            stamp.FromDatetime(fires)
            return pb.OrchestratorAction(id=host_id, createTimer=pb.CreateTimerAction(fireAt=stamp))
        case _:
            assert_never(entry.kind)


def _completion(outcome: Outcome, table: Table, id: int) -> pb.OrchestratorAction:
    match outcome:
        case Completed(output):
            payload = envelope.written(envelope.plain(output))
            done = _complete(pb.ORCHESTRATION_STATUS_COMPLETED, payload)
        case ContinuedAsNew():
            status = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
            done = _complete(status, table.continuation(outcome))
        case Terminated(reason):
            text = msgspec.json.encode(reason).decode()
            done = _complete(pb.ORCHESTRATION_STATUS_TERMINATED, text)
        case Failed(failure):
            details = pb.TaskFailureDetails(
                errorType=failure.type,
                errorMessage=failure.message,
                stackTrace=StringValue(value=failure.traceback),
            )
            told = ending(failure, rewinds=table.rewinds)
            details.properties[PROPERTY].string_value = msgspec.json.encode(told).decode()
            done = pb.CompleteOrchestrationAction(
                orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=details
            )
        case _:
            assert_never(outcome)
    return pb.OrchestratorAction(id=id, completeOrchestration=done)


def _complete(status: Any, result: Json) -> pb.CompleteOrchestrationAction:
    return pb.CompleteOrchestrationAction(
        orchestrationStatus=status, result=StringValue(value=result)
    )
