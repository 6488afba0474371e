"""A cycle: the turns that are taken together and written in one commit.

Messages that a turn sends to another instance are delivered within the cycle, if that
instance has not had its turn yet, and stored otherwise.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime

from ostinato import events as ev
from ostinato.actions import CreateSubOrchestration
from ostinato.client import RuntimeStatus
from ostinato.definitions import Registry
from ostinato.errors import StoreError
from ostinato.events import Parent
from ostinato.failures import SUB_ORCHESTRATION_ERROR, unstructured
from ostinato.local.checks import first_message
from ostinato.local.flight import Flight
from ostinato.local.instances import Instances
from ostinato.local.store import START_TIMER, Change, Instance, Message, Store, WorkKey
from ostinato.local.turns import ChildStart, Live, Turn

logger = logging.getLogger("ostinato.local")

MAX_WAVES = 4
"""How far messages between instances travel in one cycle."""


class Cycle:
    """Gathers messages, takes turns, and tells what to write.

    Args:
        delivers: Whether messages between instances are delivered at once; otherwise they are
            stored, so that the cycle concerns as few instances as possible.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        instances: Instances,
        flight: Flight,
        now: datetime,
        *,
        delivers: bool,
    ) -> None:
        self._registry = registry
        self._store = store
        self._instances = instances
        self._flight = flight
        self._delivers = delivers
        self.now = now
        self.messages: dict[str, list[Message]] = {}
        """To be applied, by instance."""
        self.turns: dict[str, Turn] = {}
        self._starts: dict[str, tuple[Instance, bool]] = {}
        """New heads that have no turn yet, and whether each replaces a finished instance."""
        self._deferred: dict[str, Instance] = {}
        """New heads whose first turn is left to another cycle."""
        self._wave: dict[str, list[Message]] = {}
        self._changes: list[Change] = []

    def head(self, instance_id: str) -> Instance | None:
        """The instance as this cycle leaves it so far."""
        if instance_id in self._deferred:
            return self._deferred[instance_id]
        turn = self.turns.get(instance_id)
        if turn is not None:
            return turn.head
        if instance_id in self._starts:
            return self._starts[instance_id][0]
        return self._instances.head(instance_id)

    def send(self, message: Message) -> None:
        """Have a message applied in this cycle."""
        self.messages.setdefault(message.instance_id, []).append(message)

    def start(self, started: ev.ExecutionStarted, *, replaces: bool) -> None:
        """Have a new instance run its first turn in this cycle."""
        instance_id = started.instance_id
        self._starts[instance_id] = (pending(started), replaces)
        # Outcomes of the instance that is replaced still end their work.
        outcomes = [
            message
            for message in self.messages.get(instance_id, ())
            if isinstance(message.event, (ev.TaskCompleted, ev.TaskFailed))
        ]
        self.messages[instance_id] = [first_message(started), *outcomes]

    def run(self) -> list[Change]:
        """Take the turns and return what is to be written, in order.

        Raises:
            StoreError: The store cannot be read.
        """
        waves = 0
        while self.messages:
            self._wave, self.messages = self.messages, {}
            waves += 1
            delivers = self._delivers and waves < MAX_WAVES
            for instance_id, messages in self._wave.items():
                if instance_id in self.turns or instance_id in self._deferred:
                    self._keep(instance_id, messages)
                else:
                    self._take_turn(instance_id, messages, delivers)
        return self._changes

    def _keep(self, instance_id: str, messages: list[Message]) -> None:
        """Store messages for an instance that has had its turn."""
        head = self.head(instance_id)
        assert head is not None
        unstored = [message for message in messages if not message.id]
        self._changes.append(
            Change(instance=head, expected_length=head.length, messages_sent=unstored)
        )

    def _take_turn(self, instance_id: str, messages: list[Message], delivers: bool) -> None:
        turn = self._opened(instance_id)
        if turn is None:
            stored = [message.id for message in messages if message.id]
            if stored:
                self._store.discard(stored)
            self._flight.forget(instance_id)
            return
        self.turns[instance_id] = turn
        try:
            self._apply(turn, messages)
        except StoreError:
            raise
        except Exception as error:  # a defect of ours stops this instance, and no other
            logger.exception("instance %r cannot go on", instance_id)
            turn.give_up(error)
        self._note(turn, delivers)

    def _note(self, turn: Turn, delivers: bool) -> None:
        """Have the turn written, after the children that it may have sent something to."""
        self._changes += self._pass_on(turn, delivers)
        change = turn.change()
        if change is not None:
            self._changes.append(change)

    def _opened(self, instance_id: str) -> Turn | None:
        """The instance's turn, before any message; None when there is no such instance."""
        started = self._starts.get(instance_id)
        if started is None:
            live = self._instances.load(instance_id)
        else:
            live = self._instances.admit(Live(started[0], None))
        if live is None:
            return None
        turn = Turn(live, now=self.now, registry=self._registry, new_id=new_execution_id)
        if started is not None:
            turn.creates(replaces=started[1])
        return turn

    def _apply(self, turn: Turn, messages: list[Message]) -> None:
        if turn.head.length == 0 and not self._can_start(turn, messages):
            turn.sent += [message for message in messages if not message.id]
            return
        for message in messages:
            if isinstance(message.event, ev.ExecutionRewound):
                self._rewind(turn, message, message.event)
            else:
                turn.take(message)
        if turn.misfits:
            turn.end_children(self._store.history(turn.head.instance_id))
        turn.conclude()

    def _can_start(self, turn: Turn, messages: list[Message]) -> bool:
        """Put the start first; False while the instance waits for it."""
        instance_id = turn.head.instance_id
        waiting = self._instances.waiting
        if instance_id in waiting:
            known = {message.id for message in messages if message.id}
            messages[:0] = [m for m in self._store.inbox_of(instance_id) if m.id not in known]
        if not messages:
            return False
        # An instance that was suspended or terminated before its start does not start.
        messages.sort(key=_before_the_start)
        start = next((m for m in messages if isinstance(m.event, ev.ExecutionStarted)), None)
        start_at = (
            start.event.start_at if start and isinstance(start.event, ev.ExecutionStarted) else None
        )
        ends = any(
            isinstance(m.event, ev.ExecutionTerminated) and m.parent in (None, turn.head.parent)
            for m in messages
        )
        if start is not None and (ends or start_at is None or start_at <= self.now):
            waiting.discard(instance_id)
            turn.prepare()
            return True
        waiting.add(instance_id)
        if start is not None and start_at is not None and not start.id:
            turn.timers_added.append((START_TIMER, start_at))
        return False

    def _rewind(self, turn: Turn, message: Message, event: ev.ExecutionRewound) -> None:
        """Let a failed instance go on, and its failed children with it."""
        head = turn.head
        if message.id:
            turn.taken.append(message.id)
        if head.status is not RuntimeStatus.FAILED or message.parent not in (None, head.parent):
            return
        plan = turn.rewind(self._store.history(head.instance_id), event.reason)
        for scheduled in plan.in_flight:
            if isinstance(scheduled, ev.SubOrchestrationInstanceCreated):
                self._revive_child(turn, scheduled, event.reason)

    def _revive_child(
        self, turn: Turn, scheduled: ev.SubOrchestrationInstanceCreated, reason: str
    ) -> None:
        """Rewind a failed child, leave one that runs, and start any other again."""
        parent = Parent(turn.head.instance_id, turn.head.execution_id, scheduled.task_id)
        child = self.head(scheduled.instance_id)
        if child is not None and child.parent == parent:
            if child.status is RuntimeStatus.FAILED:
                rewound = ev.ExecutionRewound(at=self.now, reason=reason)
                turn.sent.append(
                    Message(instance_id=child.instance_id, event=rewound, parent=parent)
                )
                return
            if not child.status.is_finished:
                self._call_off_end(turn, child.instance_id, parent)
                return
            last = self._store.last_event(child.instance_id)
            if isinstance(last, ev.ExecutionCompleted) and last.status == "Completed":
                self._tell_again(turn, parent, last.result or "null")
                return
        action = CreateSubOrchestration(
            task_id=scheduled.task_id,
            name=scheduled.name,
            instance_id=scheduled.instance_id,
            input=scheduled.input,
            version=scheduled.version,
        )
        turn.children.append(ChildStart(action, parent))

    def _call_off_end(self, turn: Turn, child_id: str, parent: Parent) -> None:
        """Take back the end that a parent which goes on has asked for."""
        here = self._wave.get(child_id, [])
        for message in [*here, *self._store.inbox_of(child_id)]:
            if isinstance(message.event, ev.ExecutionTerminated) and message.parent == parent:
                if message in here:
                    here.remove(message)
                if message.id:
                    turn.taken.append(message.id)

    def _tell_again(self, turn: Turn, parent: Parent, result: str) -> None:
        """Give a parent that goes on the result of a child that completed meanwhile."""
        completed = ev.SubOrchestrationInstanceCompleted(
            at=self.now, task_id=parent.task_id, result=result
        )
        turn.sent.append(
            Message(
                instance_id=parent.instance_id, execution_id=parent.execution_id, event=completed
            )
        )

    def give_up(
        self, instance_id: str, messages: list[Message], done: list[WorkKey], error: Exception
    ) -> None:
        """Fail an instance whose turn can never be written; what it was to take is dropped."""
        turn = self._opened(instance_id)
        if turn is None:
            return
        self.turns[instance_id] = turn
        turn.taken += [message.id for message in messages if message.id]
        turn.work_removed += done
        turn.give_up(error)
        self._note(turn, delivers=False)

    # What a turn owes to other instances

    def _pass_on(self, turn: Turn, delivers: bool) -> list[Change]:
        """Start the turn's children and deliver its messages, as far as that is done at once.

        Returns what stores the children whose first turn is left to another cycle.
        """
        if turn.closed:
            turn.work_removed += self._flight.unwanted(turn)
        deferred = [
            change
            for child in turn.children
            if (change := self._start_child(turn, child, delivers)) is not None
        ]
        if delivers:
            sent, turn.sent = turn.sent, []
            for message in sent:
                if self._is_deliverable(message):
                    self.send(message)
                else:
                    turn.sent.append(message)
        return deferred

    def _is_deliverable(self, message: Message) -> bool:
        target = message.instance_id
        return not (
            target in self.turns
            or target in self._deferred
            or target in self._instances.waiting
            or isinstance(message.event, ev.ExecutionStarted)
        )

    def _start_child(self, turn: Turn, child: ChildStart, delivers: bool) -> Change | None:
        action, parent = child
        existing = self.head(action.instance_id)
        if parent is None and existing is not None:
            return None  # a detached instance is started once
        if parent is not None and existing is not None and not existing.status.is_finished:
            message = f"instance id {action.instance_id!r} is in use by an unfinished instance"
            self._refuse_child(turn, parent, action, "InstanceExistsError", message)
            return None
        definition = self._registry.orchestration(action.name, action.version)
        if definition is None or definition.fn is None:
            message = f"orchestration {action.name!r} is another application's: no one here runs it"
            if parent is not None:
                self._refuse_child(turn, parent, action, SUB_ORCHESTRATION_ERROR, message)
            return None
        started = ev.ExecutionStarted(
            at=self.now,
            instance_id=action.instance_id,
            execution_id=new_execution_id(),
            name=action.name,
            input=action.input,
            version=definition.version,
            parent=parent,
        )
        if delivers and action.instance_id not in self.turns:
            self.start(started, replaces=existing is not None)
            return None
        self._instances.drop(action.instance_id)
        self._deferred[action.instance_id] = head = pending(started)
        return Change(
            instance=head,
            expected_length=None,
            fresh=existing is not None,
            messages_sent=[first_message(started)],
        )

    def _refuse_child(
        self, turn: Turn, parent: Parent, action: CreateSubOrchestration, kind: str, message: str
    ) -> None:
        failed = ev.SubOrchestrationInstanceFailed(
            at=self.now,
            task_id=action.task_id,
            failure=unstructured(kind, message, action.name),
        )
        turn.sent.append(
            Message(instance_id=parent.instance_id, execution_id=parent.execution_id, event=failed)
        )


def _before_the_start(message: Message) -> int:
    match message.event:
        case ev.ExecutionSuspended() | ev.ExecutionResumed() | ev.ExecutionTerminated():
            return 0
        case ev.ExecutionStarted():
            return 1
        case _:
            return 2


def new_execution_id() -> str:
    """Return the id of a new generation: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def pending(started: ev.ExecutionStarted) -> Instance:
    """Return the head of an instance that has not had its first turn."""
    return Instance(
        instance_id=started.instance_id,
        execution_id=started.execution_id,
        name=started.name,
        version=started.version,
        status=RuntimeStatus.PENDING,
        created_at=started.at,
        updated_at=started.at,
        parent=started.parent,
        tags=started.tags,
    )
