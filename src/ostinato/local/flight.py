"""Activities in flight: dispatched, and not reported in a commit yet."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import assert_never

from ostinato import events as ev
from ostinato.activities import ActivityCompleted, ActivityCrashed, ActivityFailed, Outcome
from ostinato.failures import ACTIVITY_ERROR, Failure, unstructured
from ostinato.local.scheduling import Work
from ostinato.local.store import Message, WorkItem, WorkKey
from ostinato.local.turns import Turn
from ostinato.local.workers import ActivityWorkers

logger = logging.getLogger("ostinato.local")


class Flight:
    """Knows every activity between its dispatch and the commit of its outcome.

    Args:
        max_crashes: After so many crashes of its process an activity fails.
    """

    def __init__(self, workers: ActivityWorkers, max_crashes: int) -> None:
        self._workers = workers
        self._max_crashes = max_crashes
        self._works: dict[str, dict[tuple[str, int], Work]] = {}
        self._crashes: dict[Work, int] = {}

    def __bool__(self) -> bool:
        return bool(self._works)

    def dispatch(self, works: Sequence[Work]) -> None:
        """Have activities run, except those that are running already."""
        self._submit([work for work in works if not self._knows(work)])

    def _knows(self, work: Work) -> bool:
        call = work.call
        return (call.execution_id, call.task_id) in self._works.get(call.instance_id, {})

    def _submit(self, works: Sequence[Work]) -> None:
        for work in works:
            call = work.call
            mine = self._works.setdefault(call.instance_id, {})
            mine[(call.execution_id, call.task_id)] = work
        if works:
            self._workers.submit(works)

    def recover(self, items: Iterable[WorkItem], now: datetime) -> list[Message]:
        """Have what was in flight run again; return the failures of what crashed too often."""
        works: list[Work] = []
        failures: list[Message] = []
        crashed: dict[str, int] = {}
        for item in items:
            if item.crashes:
                crashed[item.event.name] = crashed.get(item.event.name, 0) + 1
            if item.crashes < self._max_crashes:
                works.append(Work.of(item))
            else:
                failures.append(self._crashed_too_often(item, now))
        if crashed:
            named = ", ".join(f"{count} of {name!r}" for name, count in sorted(crashed.items()))
            logger.warning("the process has died while these activities were running: %s", named)
        self.dispatch(works)
        return failures

    def report(self, work: Work, outcome: Outcome, now: datetime) -> Message | None:
        """Turn an outcome into a message; None when nobody waits for it, or it is tried again."""
        call = work.call
        mine = self._works.get(call.instance_id)
        if mine is None or mine.get((call.execution_id, call.task_id)) is not work:
            return None
        event: ev.TaskCompleted | ev.TaskFailed
        match outcome:
            case ActivityCompleted(result):
                event = ev.TaskCompleted(at=now, task_id=call.task_id, result=result)
            case ActivityFailed(failure):
                event = ev.TaskFailed(at=now, task_id=call.task_id, failure=failure)
            case ActivityCrashed(reason):
                crash = self._crashed(work, reason)
                if crash is None:
                    return None
                event = ev.TaskFailed(at=now, task_id=call.task_id, failure=crash)
            case _:
                assert_never(outcome)
        return Message(instance_id=call.instance_id, execution_id=call.execution_id, event=event)

    def _crashed(self, work: Work, reason: str) -> Failure | None:
        """The failure of an activity whose own process died too often, or None to try again."""
        crashes = self._crashes.get(work, 0) + 1
        call = work.call
        if crashes < self._max_crashes:
            self._crashes.pop(work, None)
            again = Work(call, group=work.group, bound=work.bound)
            self._crashes[again] = crashes
            self._submit([again])
            return None
        message = f"{reason}; that was crash {crashes}, and it is not tried again"
        return unstructured(ACTIVITY_ERROR, message, call.name, call.attempt)

    def _crashed_too_often(self, item: WorkItem, now: datetime) -> Message:
        event = item.event
        failure = unstructured(
            ACTIVITY_ERROR,
            f"activity {event.name!r} was running in {item.crashes} crashes of its process, and "
            "it is not tried again",
            event.name,
            event.attempt,
        )
        failed = ev.TaskFailed(at=now, task_id=event.task_id, failure=failure)
        return Message(
            instance_id=item.key.instance_id, execution_id=item.key.execution_id, event=failed
        )

    def unwanted(self, turn: Turn) -> list[WorkKey]:
        """What the end of the turn's executions makes pointless.

        After a termination that is everything; otherwise the items of bounded maps.
        """
        return [
            work.key
            for (execution_id, _), work in self._works.get(turn.head.instance_id, {}).items()
            if execution_id in turn.closed and (turn.cancelled or work.group is not None)
        ]

    def retire(self, keys: Sequence[WorkKey]) -> None:
        """Forget activities: they have reported, or are asked to stop and not heard any more."""
        for key in keys:
            mine = self._works.get(key.instance_id)
            if mine is None:
                continue
            work = mine.pop((key.execution_id, key.task_id), None)
            if not mine:
                del self._works[key.instance_id]
            if work is not None:
                work.cancel()
                self._crashes.pop(work, None)

    def forget(self, instance_id: str) -> None:
        """Stop everything of an instance that is no more."""
        for work in self._works.pop(instance_id, {}).values():
            work.cancel()
            self._crashes.pop(work, None)
