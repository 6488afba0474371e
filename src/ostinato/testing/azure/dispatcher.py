"""Carries out what orchestrations decide: turns, children, activities, entities.

A turn is taken outside the lock, what it decided is carried out under it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from threading import Condition
from typing import assert_never

from ostinato.local.clock import Clock
from ostinato.testing.azure import activity_work
from ostinato.testing.azure.decisions import (
    Complete,
    CreateSubOrchestration,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    TurnResult,
)
from ostinato.testing.azure.deployments import by_what_is_deployed
from ostinato.testing.azure.entities import Entities, Operation
from ostinato.testing.azure.events import (
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    TimerFired,
)
from ostinato.testing.azure.history import History
from ostinato.testing.azure.instance import Instance, Message
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.pool import Pool
from ostinato.testing.azure.ports import FunctionFailed, Functions, Log
from ostinato.testing.azure.post import Post
from ostinato.testing.azure.recording import event_of, output_of, told_of_end, told_to_parent
from ostinato.testing.azure.status import Status
from ostinato.testing.azure.wire import Wire


class Dispatcher:
    """Hands work items to the functions that are deployed when they are begun.

    One that a deployment interrupts is begun anew.
    """

    def __init__(
        self,
        functions: Callable[[], Functions],
        *,
        clock: Clock,
        options: HubOptions,
        post: Post,
        pool: Pool,
        moved: Condition,
        log: Log,
    ) -> None:
        self.entities = Entities()
        self._functions = functions
        self._clock = clock
        self._wire = Wire(options)
        self._post = post
        self._pool = pool
        self._moved = moved
        self._log = log

    def turn(self, instance: Instance, messages: list[Message]) -> None:
        """Take a turn of an instance that is busy with nothing else.

        Messages for another execution are dropped, but the function is called all the same
        (recorded): with the beginning of a turn and nothing else.
        """
        history = instance.history or History()
        history.begin_turn()
        execution = instance.started.execution_id
        events = [m.event for m in messages if m.execution_id in (None, execution)]
        history.append(OrchestratorStarted(timestamp=self._clock.now()), *events)
        for event in events:
            if isinstance(event, ExecutionSuspended | ExecutionResumed):
                instance.suspended = isinstance(event, ExecutionSuspended)
        carrying_on: History | None = history
        while carrying_on is not None:
            history = carrying_on
            result = self._decide(history)
            history.end_turn()
            with self._moved:
                if self._post.instances.get(instance.id) is not instance:
                    return  # purged meanwhile
                instance.history = history
                instance.custom_status = result.custom_status
                carrying_on = self._carry_out(instance, history, result.decisions)
        with self._moved:
            self._post.end_turn(instance)

    def to_entity(self, entity_id: str, operation: Operation) -> None:
        """Queue an operation of an entity. The lock is held."""
        self.entities.add(entity_id, operation)
        self._serve_entity(entity_id)

    def _decide(self, history: History) -> TurnResult:
        return by_what_is_deployed(
            self._functions, lambda functions: self._wire.take_turn(history, functions)
        )

    def _carry_out(
        self, instance: Instance, history: History, decisions: tuple[Decision, ...]
    ) -> History | None:
        """Write what was decided and do it; returns the next execution's history, if any."""
        now = self._clock.now()
        following: Complete | None = None
        for decision in decisions:
            if isinstance(decision, Complete) and decision.status is Status.ContinuedAsNew:
                following = decision
                continue
            history.append(event_of(decision, now))
            self._perform(instance, decision, now)
        instance.updated = now
        if following is not None:
            return _next_execution(instance, following, now)
        if not isinstance(history.events[-1], OrchestratorCompleted):
            history.append(OrchestratorCompleted(timestamp=now))
        if not instance.status.finished:
            instance.status = Status.Suspended if instance.suspended else Status.Running
        return None

    def _perform(self, instance: Instance, decision: Decision, now: datetime) -> None:
        execution = instance.started.execution_id
        match decision:
            case ScheduleTask():
                self._pool.run(
                    f"{decision.name} of {instance.id}",
                    lambda: self._activity(instance.id, execution, decision),
                )
            case CreateTimer(id=id, fire_at=fire_at):
                fired = TimerFired(timestamp=now, timer_id=id, fire_at=fire_at)
                self._post.deliver_at(fire_at, instance.id, Message(fired, execution))
            case CreateSubOrchestration():
                self._start_child(instance, decision, now)
            case SendEvent(instance_id=target, name=name, input=input):
                sent = EventRaised(timestamp=now, name=name, input=input)
                if not target.startswith("@"):
                    self._post.deliver(target, Message(sent))
                elif decision.scheduled is not None:
                    self._post.deliver_at(decision.scheduled, target, Message(sent))
                else:
                    self.to_entity(target, Operation.of(sent))
            case Complete():
                self._finish(instance, decision, now)
            case _:
                assert_never(decision)

    def _start_child(
        self, instance: Instance, child: CreateSubOrchestration, now: datetime
    ) -> None:
        """Start a child; one whose id is empty, or in use, never starts, and its parent hangs."""
        before = self._post.instances.get(child.instance_id)
        if not child.instance_id or (before is not None and not before.status.finished):
            return
        self._post.create(
            ExecutionStarted(
                timestamp=now,
                instance_id=child.instance_id,
                execution_id=uuid.uuid4().hex,
                name=child.name,
                input=child.input,
                version=child.version,
                tags=child.tags,
                parent=ParentInstance(
                    name=instance.started.name,
                    instance_id=instance.id,
                    execution_id=instance.started.execution_id,
                    task_id=child.id,
                    version=instance.started.version,
                ),
            )
        )

    def _finish(self, instance: Instance, how: Complete, now: datetime) -> None:
        instance.status = how.status
        instance.output = output_of(how)
        instance.inbox.clear()
        self.tell_end(instance, how)
        parent = instance.started.parent
        if parent is not None:
            event = told_to_parent(how, parent.task_id, now)
            self._post.deliver(parent.instance_id, Message(event, parent.execution_id))

    def tell_end(self, instance: Instance, how: Complete) -> None:
        """Log how an instance ended, unless it ended well."""
        line = told_of_end(instance.started, how)
        if line is not None:
            self._log(line)

    def _activity(self, instance_id: str, execution_id: str, task: ScheduleTask) -> None:
        answer = by_what_is_deployed(
            self._functions, lambda functions: self._answer(task, functions)
        )
        with self._moved:
            self._post.deliver(instance_id, Message(answer, execution_id))

    def _answer(self, task: ScheduleTask, functions: Functions) -> Event:
        try:
            result = activity_work.run(task, functions)
            return activity_work.completed(task, result, self._clock.now())
        except FunctionFailed as failure:
            return activity_work.failed(task, failure, self._clock.now(), grpc=functions.grpc)
        except activity_work.NoSuchActivity as error:
            return activity_work.missing(task, self._clock.now(), error, grpc=functions.grpc)

    def _serve_entity(self, entity_id: str) -> None:
        batch = self.entities.take(entity_id)
        if batch is not None:
            self._pool.run(entity_id, lambda: self._entity(entity_id, batch))

    def _entity(self, entity_id: str, batch: tuple[Operation, ...]) -> None:
        with self._moved:
            state = self.entities.state(entity_id)
        outcome = by_what_is_deployed(
            self._functions, lambda functions: Entities.run(entity_id, state, batch, functions)
        )
        with self._moved:
            self.entities.done(entity_id, outcome)
            for reply in outcome.replies:
                event = EventRaised(timestamp=self._clock.now(), name=reply.name, input=reply.input)
                self._post.deliver(reply.instance_id, Message(event, reply.execution_id))
            for target, operation in outcome.signals:
                self.to_entity(target, operation)
            self._serve_entity(entity_id)


def _next_execution(instance: Instance, how: Complete, now: datetime) -> History:
    """Begin an instance's next execution; its first turn is closed before it is taken."""
    started = replace(
        instance.started,
        timestamp=now,
        execution_id=uuid.uuid4().hex,
        input=how.result,
        version=how.new_version or instance.started.version,
        scheduled_start=None,
    )
    instance.started = started
    instance.suspended = False
    instance.history = History(
        [
            OrchestratorStarted(timestamp=now),
            started,
            *how.carried,
            OrchestratorCompleted(timestamp=now),
        ],
        played=how.carried,
    )
    return instance.history
