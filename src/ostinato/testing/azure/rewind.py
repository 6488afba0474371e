"""Rewinding a failed instance on Azure Storage.

Written from the documentation and the published algorithm of DurableTask.AzureStorage; it was not
recorded. The history is rewritten: each failure of an activity becomes a ``GenericEvent``, which
replay ignores, and so does the event that scheduled it, so that the replay schedules it again
under the same id. A failed child keeps its creation; its failure is blanked, and the child is
rewound in its turn. Failures that a retry has long dealt with are blanked too, which is why an
instance that handled failures does not survive it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ostinato.testing.azure.events import (
    Event,
    ExecutionCompleted,
    GenericEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
)


def rewound(events: Sequence[Event]) -> tuple[list[Event], list[str]]:
    """The history that a rewind leaves, and the ids of the children to rewind."""
    failed_tasks = {event.task_id for event in events if isinstance(event, TaskFailed)}
    failed_children = {
        event.task_id for event in events if isinstance(event, SubOrchestrationInstanceFailed)
    }
    children = [
        event.instance_id
        for event in events
        if isinstance(event, SubOrchestrationInstanceCreated) and event.event_id in failed_children
    ]
    return [
        _blank(event) if _taken_back(event, failed_tasks) else event for event in events
    ], children


def _taken_back(event: Event, failed_tasks: set[int]) -> bool:
    match event:
        case TaskFailed() | SubOrchestrationInstanceFailed() | ExecutionCompleted():
            return True
        case TaskScheduled():
            return event.event_id in failed_tasks
        case _:
            return False


def _blank(event: Event) -> GenericEvent:
    # Why it was taken out is written into its row's Reason, which no GenericEvent has.
    return GenericEvent(timestamp=event.timestamp, event_id=event.event_id, data=None)
