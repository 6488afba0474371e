"""Plays a case on a host and compares how it ended with what was expected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

import pytest

from ostinato import events as ev
from ostinato.client import InstanceStatus
from ostinato.events import Event

from .model import (
    Advance,
    Case,
    Check,
    ConformanceHost,
    Deploy,
    Ended,
    Expected,
    Noted,
    Now,
    Open,
    Purge,
    RaiseEvent,
    Refused,
    Restart,
    Resume,
    Rewind,
    Start,
    Step,
    Suspend,
    Terminate,
)
from .world import PATIENCE, Room


@dataclass(frozen=True, slots=True)
class Play:
    """One case on one host."""

    host: ConformanceHost
    room: Room
    instance_id: str

    def run(self, case: Case, now: datetime) -> None:
        """Play the case to its end and compare."""
        self.host.client.start(
            case.orchestration,
            case.input,
            instance_id=self.instance_id,
            version=case.version,
            start_at=None if case.start_at is None else now + case.start_at,
        )
        for step in case.script:
            self.take(step)
        self.compare(case.expected, "")

    def take(self, step: Step) -> None:
        """Let the host settle, then take a step."""
        if isinstance(step, Now):
            self._perform(step.step)
        else:
            self.host.settle()
            self._perform(step)

    def _perform(self, step: Step) -> None:
        client = self.host.client
        match step:
            case Start(orchestration, input, instance_id, version, if_exists):
                client.start(
                    orchestration,
                    input,
                    instance_id=self._named(instance_id),
                    version=version,
                    if_exists=if_exists,
                )
            case RaiseEvent(name, data, event_id, to):
                client.raise_event(self._named(to), name, data, event_id=event_id)
            case Advance():
                self.host.advance(step.delta)
            case Suspend(reason):
                client.suspend(self.instance_id, reason)
            case Resume(reason):
                client.resume(self.instance_id, reason)
            case Terminate(reason, to, cascade):
                client.terminate(self._named(to), reason, cascade=cascade)
            case Rewind(reason):
                client.rewind(self.instance_id, reason)
            case Restart(new):
                named = self._named(new) if isinstance(new, str) else new
                client.restart(self.instance_id, new_instance_id=named)
            case Purge(count, to):
                assert client.purge(self._named(to)) == count
            case Deploy(app):
                self.host.deploy(app)
            case Open(gate):
                self.room.open(gate)
            case Noted(key):
                self.room.await_note(key)
            case Ended():
                client.wait(self.instance_id, PATIENCE)
            case Check(expected, of):
                self._compare_status(expected, client.get_status(self._named(of)))
                self._compare_notes(expected)
            case Refused(refused, error):
                with pytest.raises(error):
                    self._perform(refused)
            case Now(inner):
                self._perform(inner)
            case _:
                assert_never(step)

    def compare(self, expected: Expected, name: str) -> None:
        """Compare all that is expected of an instance when nothing moves any more."""
        instance_id = self._named(name)
        if expected.status.is_finished:
            self.host.finish(instance_id)
        self.host.settle()
        self._compare_status(expected, self.host.client.get_status(instance_id))
        history = self.host.client.get_history(instance_id)
        if expected.reason is not None:
            reasons = [
                event.reason for event in history if isinstance(event, ev.ExecutionTerminated)
            ]
            assert reasons[-1:] == [expected.reason]
        if expected.scheduled is not None:
            assert tuple(scheduling(history)) == expected.scheduled
        if expected.delays is not None:
            assert tuple(delays(history)) == expected.delays
        self._compare_notes(expected)
        for other, state in expected.others.items():
            self.compare(state, other)

    def _compare_status(self, expected: Expected, found: InstanceStatus) -> None:
        failure = found.failure if expected.failure_type is not None else None
        assert (found.runtime_status, failure and failure.type) == (
            expected.status,
            expected.failure_type,
        ), found
        message = expected.failure_message
        if failure is not None and isinstance(message, re.Pattern):
            assert message.search(failure.message), failure.message
        elif failure is not None and message is not None:
            assert failure.message == message
        if expected.cause_type is not None:
            assert failure is not None and failure.cause is not None
            assert failure.cause.type == expected.cause_type
        if expected.reason is None:
            assert found.output == expected.output
        assert found.custom_status == expected.custom_status

    def _compare_notes(self, expected: Expected) -> None:
        if isinstance(expected.ran, tuple):
            assert self.room.notes == expected.ran
        elif expected.ran is not None:
            assert Counter(self.room.notes) == expected.ran

    def _named(self, name: str) -> str:
        return name.format(id=self.instance_id) if name else self.instance_id


def scheduling(history: Sequence[Event]) -> Iterator[str]:
    """What a history asked for: ``<task id> <name>``, ``<id> timer``, ``<id> child <name>``,
    ``<id> start <name>`` or ``<id> send <name>``; of a bounded map ``<id> <name> (<bound>)``."""
    for event in history:
        match event:
            case ev.TaskScheduled(bound=None):
                yield f"{event.task_id} {event.name}"
            case ev.TaskScheduled():
                yield f"{event.task_id} {event.name} ({event.bound})"
            case ev.TimerCreated():
                yield f"{event.task_id} timer"
            case ev.SubOrchestrationInstanceCreated():
                yield f"{event.task_id} {'start' if event.detached else 'child'} {event.name}"
            case ev.EventSent():
                yield f"{event.task_id} send {event.name}"
            case _:
                pass


def delays(history: Sequence[Event]) -> Iterator[float]:
    """Seconds from the creation of each timer until it was due."""
    for event in history:
        if isinstance(event, ev.TimerCreated):
            yield round((event.due - event.at).total_seconds(), 3)


EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""When the clocks of hosts that have a manual one begin."""
