"""Rewind: what a failed instance must forget so that only its failed work runs again.

The final attempts whose failures ended the instance are forgotten (not that they were scheduled:
they are dispatched again), and so is everything that was scheduled after the first of them.
What other work has brought stays.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ostinato import events as ev
from ostinato.definitions import Registry
from ostinato.events import SCHEDULING, Event
from ostinato.failures import Failure
from ostinato.replay import Orchestration, rewound_positions

Dispatched: TypeAlias = ev.TaskScheduled | ev.TimerCreated | ev.SubOrchestrationInstanceCreated

_FAILURES = (ev.TaskFailed, ev.SubOrchestrationInstanceFailed)
_ENDS = (*_FAILURES, ev.TaskCompleted, ev.TimerFired, ev.SubOrchestrationInstanceCompleted)


@dataclass(frozen=True, slots=True)
class Rewind:
    """How to go on with a failed instance."""

    dropped: tuple[int, ...]
    """Positions in the history of the events that it forgets, earlier rewinds' included."""
    in_flight: tuple[Dispatched, ...]
    """What is then scheduled and unfinished, to be dispatched again, in history order."""


def plan_rewind(registry: Registry, history: Sequence[Event]) -> Rewind:
    """Return how to rewind the instance with this history, which has failed."""
    gone = rewound_positions(history)
    kept = _kept(history, gone)
    ends = {p: e for p, e in kept if isinstance(e, ev.ExecutionCompleted)}
    failed_ids = _failed_ids(registry, [e for p, e in kept if p not in ends], ends.values())
    failures = [p for p, e in kept if isinstance(e, _FAILURES) and e.task_id in failed_ids]
    gone |= ends.keys() | set(failures)
    if failures:
        gone |= _consequences(kept, min(failures))
    left = [event for _, event in _kept(history, gone)]
    return Rewind(tuple(sorted(gone)), _unfinished(registry, left))


def _kept(history: Sequence[Event], gone: Container[int]) -> list[tuple[int, Event]]:
    """What is not forgotten, by position; earlier rewinds have had their effect by this."""
    return [
        (position, event)
        for position, event in enumerate(history)
        if position not in gone and not isinstance(event, ev.ExecutionRewound)
    ]


def _failed_ids(
    registry: Registry, past: Sequence[Event], ends: Iterable[ev.ExecutionCompleted]
) -> set[int]:
    """Task ids of the final attempts whose failures ended the instance.

    Replay tells; where the code has changed and no longer fails, the recorded failure does.
    """
    orchestration = Orchestration(registry)
    orchestration.replay(past)
    culprits = orchestration.culprits
    orchestration.close()
    if culprits:
        return set(culprits)
    recorded = [f for end in ends for f in _causes(end.failure)]
    return {
        event.task_id
        for event in past
        if isinstance(event, _FAILURES) and any(_same(event.failure, f) for f in recorded)
    }


def _consequences(kept: Sequence[tuple[int, Event]], first: int) -> set[int]:
    """Positions of what was scheduled after ``first``, and of how that ended."""
    scheduled = {p: e.task_id for p, e in kept if p > first and isinstance(e, SCHEDULING)}
    ids = set(scheduled.values())
    return scheduled.keys() | {
        p for p, e in kept if p > first and isinstance(e, _ENDS) and e.task_id in ids
    }


def _unfinished(registry: Registry, left: Sequence[Event]) -> tuple[Dispatched, ...]:
    orchestration = Orchestration(registry)
    orchestration.replay(left)
    unfinished = tuple(
        event
        for event in left
        if isinstance(
            event, (ev.TaskScheduled, ev.TimerCreated, ev.SubOrchestrationInstanceCreated)
        )
        and orchestration.is_open(event.task_id)
    )
    orchestration.close()
    return unfinished


def _causes(failure: Failure | None) -> list[Failure]:
    return [] if failure is None else [failure, *_causes(failure.cause)]


def _same(one: Failure, other: Failure) -> bool:
    return (one.type, one.message, one.task) == (other.type, other.message, other.task)
