"""Histories in few words: the events that the tests of the core are made of.

Values are given as Python objects and stand in the events as JSON text, as everywhere.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from ostinato import events as ev
from ostinato.actions import Action, CompleteOrchestration, Outcome
from ostinato.codec import encode
from ostinato.definitions import Registry
from ostinato.events import Event
from ostinato.failures import Failure, failure_of
from ostinato.replay import Orchestration

Flow: TypeAlias = Generator[Any, Any, Any]
"""What an orchestrator is."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""The time of the first turn."""


def at(seconds: float) -> datetime:
    """So long after the start."""
    return START + timedelta(seconds=seconds)


def text(value: Any) -> str:
    return encode(value, "value")


def turn(seconds: float = 0) -> ev.OrchestratorStarted:
    return ev.OrchestratorStarted(at=at(seconds))


def started(name: str, given: Any = None, **fields: Any) -> ev.ExecutionStarted:
    """Execution ``e`` of instance ``i`` began."""
    names: dict[str, Any] = {"instance_id": "i", "execution_id": "e"} | fields
    return ev.ExecutionStarted(at=START, name=name, input=text(given), **names)


def scheduled(task_id: int, name: str, given: Any = None, **fields: Any) -> ev.TaskScheduled:
    return ev.TaskScheduled(at=START, task_id=task_id, name=name, input=text(given), **fields)


def completed(task_id: int, result: Any = None) -> ev.TaskCompleted:
    return ev.TaskCompleted(at=START, task_id=task_id, result=text(result))


def failed(task_id: int, error: Exception | Failure) -> ev.TaskFailed:
    return ev.TaskFailed(at=START, task_id=task_id, failure=_failure(error))


def timer(task_id: int, seconds: float) -> ev.TimerCreated:
    """A timer due so long after the start."""
    return ev.TimerCreated(at=START, task_id=task_id, due=at(seconds))


def fired(task_id: int, seconds: float) -> ev.TimerFired:
    return ev.TimerFired(at=at(seconds), task_id=task_id, due=at(seconds))


def child(
    task_id: int, name: str, given: Any = None, instance_id: str | None = None, **fields: Any
) -> ev.SubOrchestrationInstanceCreated:
    return ev.SubOrchestrationInstanceCreated(
        at=START,
        task_id=task_id,
        name=name,
        instance_id=instance_id or f"e:{task_id}",
        input=text(given),
        **fields,
    )


def child_completed(task_id: int, result: Any = None) -> ev.SubOrchestrationInstanceCompleted:
    return ev.SubOrchestrationInstanceCompleted(at=START, task_id=task_id, result=text(result))


def child_failed(task_id: int, error: Exception | Failure) -> ev.SubOrchestrationInstanceFailed:
    return ev.SubOrchestrationInstanceFailed(at=START, task_id=task_id, failure=_failure(error))


def sent(task_id: int, instance_id: str, name: str, data: Any = None) -> ev.EventSent:
    return ev.EventSent(
        at=START, task_id=task_id, instance_id=instance_id, name=name, data=text(data)
    )


def raised(name: str, data: Any = None, event_id: str | None = None) -> ev.EventRaised:
    return ev.EventRaised(at=START, name=name, data=text(data), event_id=event_id)


def suspended() -> ev.ExecutionSuspended:
    return ev.ExecutionSuspended(at=START)


def resumed() -> ev.ExecutionResumed:
    return ev.ExecutionResumed(at=START)


def terminated(reason: str = "", *, cascade: bool = True) -> ev.ExecutionTerminated:
    return ev.ExecutionTerminated(at=START, reason=reason, cascade=cascade)


def rewound(*dropped: int) -> ev.ExecutionRewound:
    return ev.ExecutionRewound(at=START, dropped=dropped)


def marker(name: str) -> ev.Marker:
    return ev.Marker(at=START, name=name)


def ended(status: Any, result: Any = None, failure: Failure | None = None) -> ev.ExecutionCompleted:
    return ev.ExecutionCompleted(
        at=START,
        status=status,
        result=None if failure is not None else text(result),
        failure=failure,
    )


def live(registry: Registry, *events: Event) -> tuple[Orchestration, list[Action]]:
    """An orchestration that was fed its first, new events, and what it then asks for."""
    orchestration = Orchestration(registry)
    return orchestration, fed(orchestration, *events)


def fed(orchestration: Orchestration, *events: Event) -> list[Action]:
    """What an orchestration asks for after further events."""
    for event in events:
        orchestration.apply(event)
    return orchestration.take_actions()


def outcome_of(registry: Registry, history: Iterable[Event]) -> Outcome | None:
    """How the execution with this history has ended."""
    orchestration = Orchestration(registry)
    orchestration.replay(list(history))
    orchestration.close()
    return orchestration.outcome


def ends(outcome: Outcome) -> list[Action]:
    """The actions of a turn that does nothing but end."""
    return [CompleteOrchestration(outcome)]


def _failure(error: Exception | Failure) -> Failure:
    return error if isinstance(error, Failure) else failure_of(error)
