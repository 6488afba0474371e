"""Entries: what the adapter has the host do, one for each task id of the host's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import assert_never

import msgspec

from ostinato import events as ev
from ostinato.actions import Action
from ostinato.events import Json, Scheduling
from ostinato_azure.names import CLIENT


class Kind(Enum):
    """What the host does for an entry."""

    ACTIVITY = "activity"
    TIMER = "timer"
    CHILD = "child"
    CLIENT = "client"
    """The reserved activity with the durable client."""
    GATE = "gate"
    MARKER = "marker"


@dataclass(slots=True, eq=False)
class Entry:
    """One thing that the host is asked for."""

    kind: Kind
    name: str = ""
    """The activity or orchestration."""
    action: Action | None = None
    """What the core asked for; None for devices of the adapter's own."""
    core_id: int = -1
    """The core's task id; -1 for devices of the adapter's own."""
    host_id: int = -1
    """The host's task id; -1 until it is known."""
    recorded: bool = False
    """Whether the host's history has it."""
    finished: bool = False
    due: datetime | None = None
    """Of a timer: when it is to fire in the end."""
    fires: datetime | None = None
    """Of a timer: when this hop of it fires."""
    is_hop: bool = False
    """Of a recorded timer: whether another follows it."""
    instance_id: str = ""
    """Of a child, or the target of an operation."""
    text: Json = ""
    """What it is given: the payload of an activity or child, or an operation."""
    foreign: bool = False
    """Of an activity: whether its function is someone else's, and is given plain data."""
    is_check: bool = False
    """Of an operation: whether it asks if the id of a child is free."""
    group: int | None = None
    replaced: bool = False
    """Of a timer: whether the instance's end cancelled it, and a rewind set it anew."""
    again: bool = False
    """Whether it goes on with something that the core asked for earlier."""
    tries: int = 0
    """How often it has been asked for before."""

    @property
    def given(self) -> Json:
        """The input as it is sent: ours as text in a JSON string, which no decoder of the SDK's
        opens."""
        is_ours = self.kind is Kind.CLIENT or (self.kind is Kind.ACTIVITY and not self.foreign)
        return msgspec.json.encode(self.text).decode() if is_ours else self.text

    def fits(self, event: Scheduling) -> bool:
        """Whether an event may be what records it."""
        match event:
            case ev.TaskScheduled():
                if event.name == CLIENT:
                    return self.kind is Kind.CLIENT
                return self.kind is Kind.ACTIVITY and self.name == event.name
            case ev.TimerCreated():
                return self.kind is Kind.TIMER
            case ev.SubOrchestrationInstanceCreated():
                return self.kind is Kind.CHILD and self.name == event.name
            case ev.EventSent():
                return False
            case _:
                assert_never(event)

    def once_more(self) -> Entry:
        """What asks for the same again, under a new host id."""
        return replace(
            self, host_id=-1, recorded=False, finished=False, fires=None, is_hop=False, again=True
        )


def stands_for(event: Scheduling) -> Entry:
    """Return an entry for something of the history that the code did not repeat."""
    match event:
        case ev.TaskScheduled():
            return Entry(Kind.ACTIVITY, name=event.name)
        case ev.TimerCreated():
            return Entry(Kind.TIMER, due=event.due, fires=event.due)
        case ev.SubOrchestrationInstanceCreated():
            return Entry(Kind.CHILD, name=event.name, instance_id=event.instance_id)
        case ev.EventSent():
            return Entry(Kind.CLIENT, name=event.name)
        case _:
            assert_never(event)
