"""Entities of a classic app: a state and a queue each, one batch at a time."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ostinato.testing.azure.dotnet import json_text
from ostinato.testing.azure.events import Event, EventRaised
from ostinato.testing.azure.ports import FunctionFailed, Functions


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A message to an entity.

    Attributes:
        input: As the entity is to read it; None where none was sent.
        request_id: Under which the caller waits for the result.
        caller: Instance and execution that wait.
    """

    name: str
    input: str | None
    signal: bool
    request_id: str = ""
    caller: tuple[str, str | None] | None = None

    @classmethod
    def of(cls, event: Event) -> Operation:
        """The operation that an orchestration's ``RequestMessage`` asks for."""
        assert isinstance(event, EventRaised)
        message: dict[str, Any] = json.loads(event.input or "{}")
        return cls(
            name=str(message.get("op", "")),
            input=message.get("input"),
            signal=message.get("signal") is True,
            request_id=str(message.get("id", "")),
            caller=(str(message["parent"]), message.get("parentExecution"))
            if "parent" in message
            else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The result of an operation, to who called it."""

    instance_id: str
    execution_id: str | None
    name: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a batch left."""

    exists: bool
    state: str | None
    replies: tuple[Reply, ...]
    signals: tuple[tuple[str, Operation], ...]


@dataclass(slots=True)
class _Entity:
    exists: bool = False
    state: str | None = None
    queue: deque[Operation] = field(default_factory=deque[Operation])
    busy: bool = False


class Entities:
    """All entities by id, ``@name@key``. Not safe for threads: the hub holds its lock."""

    def __init__(self) -> None:
        self._entities: dict[str, _Entity] = {}

    def state(self, entity_id: str) -> str | None:
        """The state, JSON text; None where there is no entity."""
        entity = self._entities.get(entity_id)
        return entity.state if entity is not None and entity.exists else None

    def add(self, entity_id: str, operation: Operation) -> None:
        """Queue an operation."""
        self._entities.setdefault(entity_id, _Entity()).queue.append(operation)

    def take(self, entity_id: str) -> tuple[Operation, ...] | None:
        """Take all that waits, to be run and handed to `done`; None if nothing, or busy."""
        entity = self._entities[entity_id]
        if entity.busy or not entity.queue:
            return None
        entity.busy = True
        batch = tuple(entity.queue)
        entity.queue.clear()
        return batch

    def done(self, entity_id: str, outcome: Outcome) -> None:
        """Keep what a batch left."""
        entity = self._entities[entity_id]
        entity.busy = False
        entity.exists = outcome.exists
        entity.state = outcome.state

    @staticmethod
    def run(
        entity_id: str, state: str | None, batch: tuple[Operation, ...], functions: Functions
    ) -> Outcome:
        """Call the entity function with a batch. A function that raises fails all of it."""
        _, name, key = entity_id.split("@", 2)
        request = {
            "self": {"name": name, "key": key},
            "exists": state is not None,
            "state": state,
            "batch": [
                {"name": operation.name, "input": operation.input, "isSignal": operation.signal}
                for operation in batch
            ],
        }
        try:
            answer: dict[str, Any] = json.loads(functions.run_entity(name, json_text(request)))
        except FunctionFailed as failed:
            error = {"isError": True, "result": json_text(failed.text)}
            answer = {
                "entityExists": state is not None,
                "entityState": state,
                "results": [error] * len(batch),
            }
        results: list[dict[str, Any]] = answer.get("results") or []
        return Outcome(
            exists=answer.get("entityExists") is True,
            state=answer.get("entityState"),
            replies=tuple(
                Reply(
                    instance_id=operation.caller[0],
                    execution_id=operation.caller[1],
                    name=operation.request_id,
                    input=_response(result),
                )
                for operation, result in zip(batch, results, strict=False)
                if not operation.signal and operation.caller is not None
            ),
            signals=tuple(
                (
                    f"@{signal['target']['name']}@{signal['target']['key']}",
                    Operation(name=signal["name"], input=signal.get("input"), signal=True),
                )
                for signal in answer.get("signals") or ()
            ),
        )


def _response(result: dict[str, Any]) -> str:
    response: dict[str, Any] = {"result": result.get("result")}
    if result.get("isError"):
        response["exceptionType"] = "Error"
    return json_text(response)
