"""Claims around the wires and the activities: neither these nor the core see one.

Before a request is answered, what is claimed in it is fetched, as far as replay needs it: inputs
of activities it does not. In the answer, and in what activities return, large values are claimed.
Values that go to functions of others, who know of no claims, stay as they are.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.events import Json
from ostinato.failures import Failure, failure_of
from ostinato_azure import envelope
from ostinato_azure.claim_text import (
    ClaimError,
    Claims,
    claim_value,
    is_claimed,
    may_be_claimed,
    may_be_too_large,
    unclaim_text,
)
from ostinato_azure.classic import ANSWER_MARK, OrchestrationFailedError
from ostinato_azure.classic import fail as fail_classic
from ostinato_azure.classic import respond as respond_classic
from ostinato_azure.live import LiveTables
from ostinato_azure.names import CLIENT
from ostinato_azure.table import Surroundings
from ostinato_azure.wires import is_classic

if TYPE_CHECKING:
    import durabletask.internal.orchestrator_service_pb2 as pb

_encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_NEEDED = {0: "Input", 5: "Result", 8: "Result", 15: "Input"}
"""By the number of its type, what replay needs of an event of the classic wire."""


def respond_claimed(
    request: str, around: Surroundings, live: LiveTables | None, claims: Claims
) -> str:
    """Return the answer to an orchestration trigger's text; as `ostinato_azure.wires.respond`.

    A payload that cannot be stored or read fails the instance with a ClaimError; a rewind lets it
    go on.

    Raises:
        OrchestrationFailedError: The orchestration failed, on the classic wire.
    """
    wire = (_JsonClaims if is_classic(request) else _ProtobufClaims)(around, live, claims)
    try:
        return wire.respond(request)
    except ClaimError as error:
        return wire.fail(request, failure_of(error))


def fetch_given(given: Any, claims: Claims) -> Any:
    """Return what an activity was given, fetched where it is claimed.

    Raises:
        ClaimError: It cannot be read.
    """
    value = given  # which type checkers do not narrow below, as they do the other
    text = _encode(given).decode() if isinstance(given, dict) else ""
    return msgspec.json.decode(unclaim_text(text, claims)) if is_claimed(text) else value


def claim_returned(value: Any, given: Any, claims: Claims) -> Any:
    """Return what an activity returned, or a claim for it, if an orchestration of ours asked.

    Raises:
        ClaimError: It cannot be stored.
    """
    if not (isinstance(given, str) and envelope.is_written(given)):
        return value
    text = _encode(value).decode()
    claimed = claim_value(text, claims)
    return value if claimed == text else msgspec.json.decode(claimed)


class _Known:
    """Whose functions are whose."""

    def __init__(self, around: Surroundings) -> None:
        self._registry = around.registry

    def activity(self, name: str) -> bool:
        definition = self._registry.activity(name)
        return name == CLIENT or (definition is not None and definition.fn is not None)

    def orchestration(self, name: str) -> bool:
        definition = self._registry.orchestration(name)
        return definition is not None and definition.fn is not None


class _Parent(msgspec.Struct, rename="pascal"):
    name: str = ""


class _Event(msgspec.Struct, rename="pascal"):
    event_type: int
    parent_instance: _Parent | None = None


class _Request(msgspec.Struct):
    history: list[msgspec.Raw]


_read_event = msgspec.json.Decoder(_Event).decode
_read_request = msgspec.json.Decoder(_Request).decode


class _JsonClaims:
    """The classic wire's requests and answers."""

    def __init__(self, around: Surroundings, live: LiveTables | None, claims: Claims) -> None:
        self._around = around
        self._live = live
        self._claims = claims
        self._known = _Known(around)

    def respond(self, request: str) -> str:
        """The answer to a request."""
        try:
            answer = respond_classic(self._fetched(request), self._around, self._live)
        except OrchestrationFailedError as error:
            told, mark, written = str(error).partition(ANSWER_MARK)
            raise OrchestrationFailedError(told + mark + self._stored(written, request)) from None
        return self._stored(answer, request)

    def fail(self, request: str, failure: Failure) -> str:
        """The answer that the instance failed."""
        return fail_classic(request, self._around, failure)

    def _fetched(self, request: str) -> str:
        if not may_be_claimed(request):
            return request
        asked: dict[str, Any] = msgspec.json.decode(request)
        for event in asked["history"]:
            field = _NEEDED.get(event["EventType"], "")
            text = event.get(field)
            if isinstance(text, str):
                event[field] = unclaim_text(text, self._claims)
        return _encode(asked).decode()

    def _stored(self, answer: str, request: str) -> str:
        if not may_be_too_large(answer.encode(), self._claims):
            return answer
        parts = _decode_raw(answer)
        actions: list[list[dict[str, Any]]] = msgspec.json.decode(parts["actions"])
        for action in _each(actions[0]):
            if isinstance(action.get("input"), str) and self._is_ours(action):
                action["input"] = claim_value(action["input"], self._claims)
        parts["actions"] = msgspec.Raw(_encode(actions))
        output = parts.get("output")
        if output is not None and self._goes_to_ours(request):
            claimed = claim_value(bytes(output).decode(), self._claims)
            parts["output"] = msgspec.Raw(claimed.encode())
        return _encode(parts).decode()

    def _is_ours(self, action: dict[str, Any]) -> bool:
        match action["actionType"]:
            case 0:
                return self._known.activity(action["functionName"])
            case 2:
                return self._known.orchestration(action["functionName"])
            case 4:
                return True
            case _:
                return False

    def _goes_to_ours(self, request: str) -> bool:
        """Whether the output is read by a client or by a parent of ours."""
        events = map(_read_event, _read_request(request).history)
        parent = next(event for event in events if event.event_type == 0).parent_instance
        return parent is None or self._known.orchestration(parent.name)


def _each(actions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All actions, those within others too."""
    for action in actions:
        yield action
        yield from _each(action.get("compoundActions") or [])


class _ProtobufClaims:
    """The Durable Task wire's requests and answers."""

    def __init__(self, around: Surroundings, live: LiveTables | None, claims: Claims) -> None:
        self._around = around
        self._live = live
        self._claims = claims
        self._known = _Known(around)

    def respond(self, request: str) -> str:
        """The answer to a request."""
        import durabletask.internal.orchestrator_service_pb2 as pb

        from ostinato_azure.durabletask import respond as respond_protobuf

        fetch = self._fetch_all if may_be_claimed(b64decode(request)) else None
        answer = respond_protobuf(request, self._around, self._live, fetch)
        written = b64decode(answer)
        if not may_be_too_large(written, self._claims):
            return answer
        told = pb.OrchestratorResponse.FromString(written)
        for action in told.actions:
            match action.WhichOneof("orchestratorActionType"):
                case "scheduleTask" if self._known.activity(action.scheduleTask.name):
                    self._store(action.scheduleTask, "input")
                case "createSubOrchestration" if self._known.orchestration(
                    action.createSubOrchestration.name
                ):
                    self._store(action.createSubOrchestration, "input")
                case "completeOrchestration":
                    done = action.completeOrchestration
                    again = done.orchestrationStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
                    if again or self._goes_to_ours(request):
                        self._store(done, "result")
                case _:
                    pass
        return b64encode(told.SerializeToString()).decode()

    def fail(self, request: str, failure: Failure) -> str:
        """The answer that the instance failed."""
        from ostinato_azure.durabletask import fail

        return fail(request, self._around, failure)

    def _goes_to_ours(self, request: str) -> bool:
        """Whether the output is read by a client or by a parent of ours."""
        import durabletask.internal.orchestrator_service_pb2 as pb

        asked = pb.OrchestratorRequest.FromString(b64decode(request))
        events = chain(asked.pastEvents, asked.newEvents)
        started = next(event for event in events if event.HasField("executionStarted"))
        parent = started.executionStarted.parentInstance
        return not started.executionStarted.HasField("parentInstance") or self._known.orchestration(
            parent.name.value
        )

    def _fetch_all(self, asked: pb.OrchestratorRequest) -> None:
        for event in chain(asked.pastEvents, asked.newEvents):
            match event.WhichOneof("eventType"):
                case "executionStarted":
                    self._fetch(event.executionStarted, "input")
                case "eventRaised":
                    self._fetch(event.eventRaised, "input")
                case "taskCompleted":
                    self._fetch(event.taskCompleted, "result")
                case "subOrchestrationInstanceCompleted":
                    self._fetch(event.subOrchestrationInstanceCompleted, "result")
                case _:
                    pass

    def _fetch(self, message: Any, field: str) -> None:
        if message.HasField(field):
            text: Json = getattr(message, field).value
            if may_be_claimed(text):
                getattr(message, field).value = unclaim_text(text, self._claims)

    def _store(self, message: Any, field: str) -> None:
        if message.HasField(field):
            text: Json = getattr(message, field).value
            getattr(message, field).value = claim_value(text, self._claims)
