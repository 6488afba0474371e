"""What an unfinished instance waits for, in words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path

from ostinato import events as ev
from ostinato import waits
from ostinato.cli.discovery import app_at_hand, find_app
from ostinato.cli.targets import LocalTarget, Target, open_store
from ostinato.client import Client, InstanceStatus, RuntimeStatus
from ostinato.events import Event, Scheduling
from ostinato.replay import rewound_positions

_BY_AZURE = "Azure does not tell which event"
_BY_CODE = "its code tells which event: see --app"


def waits_of(target: Target, client: Client, status: InstanceStatus, app: str | None) -> list[str]:
    """Say what an instance waits for; nothing when it has ended.

    Args:
        target: Where it is.
        client: The target's.
        status: The instance as it stands.
        app: Names the code of a local one, which tells for which events it waits; by default it is
            the folder's own.

    Raises:
        UsageError: There is no such code.
    """
    if status.runtime_status.is_finished:
        return []
    instance_id = status.instance_id
    if not isinstance(target, LocalTarget):
        from ostinato_azure.client import AzureClient

        assert isinstance(client, AzureClient)
        return unanswered_in(client.get_outline(instance_id), status, _BY_AZURE)
    folder = Path.cwd()
    code = app_at_hand(folder) if app is None else find_app(app, folder)
    with open_store(target.store, code) as hub, redirect_stdout(sys.stderr):  # it is replayed
        known = hub.waiting_for(instance_id)
    return known or unanswered_in(client.get_history(instance_id), status, _BY_CODE)


def shortened(waits: Sequence[str], most: int) -> list[str]:
    """Return the first of them, and how many more there are."""
    more = len(waits) - most
    return [*waits[:most], f"and {more:,} more"] if more > 0 else list(waits)


def unanswered_in(history: Sequence[Event], status: InstanceStatus, untold: str) -> list[str]:
    """Say what a history has no answer to.

    Which events are waited for is not in it: ``untold`` says where it is.
    """
    begun = _open(history)
    told = [*_activities(begun), *_children(begun)]
    is_told = bool(told)
    due = [event.due for event in begun if isinstance(event, ev.TimerCreated)]
    told += map(waits.timer, due)
    if status.runtime_status is RuntimeStatus.SUSPENDED:
        told.insert(0, waits.SUSPENDED)
    if status.runtime_status is RuntimeStatus.PENDING and not told:
        told.append("its first turn")
    elif due and not is_told:
        told.append(f"perhaps an external event, too ({untold})")
    elif not is_told:
        told.append(f"an external event, or its next turn ({untold})")
    return told


def _open(history: Sequence[Event]) -> list[Scheduling]:
    scheduled: dict[int, Scheduling] = {}
    dropped = rewound_positions(history)
    for position, event in enumerate(history):
        match event:
            case _ if position in dropped:
                pass
            case ev.TaskScheduled() | ev.TimerCreated() | ev.SubOrchestrationInstanceCreated():
                scheduled[event.task_id] = event
            case (
                ev.TaskCompleted()
                | ev.TaskFailed()
                | ev.TimerFired()
                | ev.SubOrchestrationInstanceCompleted()
                | ev.SubOrchestrationInstanceFailed()
            ):
                scheduled.pop(event.task_id, None)
            case _:
                pass
    return list(scheduled.values())


def _activities(scheduled: Iterable[Scheduling]) -> Iterator[str]:
    times_of: dict[str, list[datetime]] = {}
    for event in scheduled:
        if isinstance(event, ev.TaskScheduled):
            times_of.setdefault(event.name, []).append(event.at)
    for name, times in times_of.items():
        since = f"since {waits.moment(min(times))}"
        if len(times) == 1:
            yield f"{waits.activity(name)}, {since}"
        else:
            yield f"{len(times):,} calls of {waits.activity(name)}, the oldest {since}"


def _children(scheduled: Iterable[Scheduling]) -> Iterator[str]:
    for event in scheduled:
        if isinstance(event, ev.SubOrchestrationInstanceCreated) and not event.detached:
            what = waits.child(event.name, event.instance_id)
            yield f"{what}, since {waits.moment(event.at)}"
