"""Tasks: what an orchestrator yields.

A task is done or not; it is finished by an event of the history, never by a clock. Tasks
that ask something of the host are known to the execution under their task id, first as an
ask that history must confirm, then as a waiter for the host's answer.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from ostinato import events as ev
from ostinato import waits
from ostinato.actions import (
    Action,
    CreateSubOrchestration,
    CreateTimer,
    ScheduleTask,
    SendEvent,
)
from ostinato.codec import decode
from ostinato.errors import CodecError, TaskCancelledError
from ostinato.events import Event, EventRaised
from ostinato.execution import Execution, Site
from ostinato.failures import Failure, error_from, failure_of, unstructured
from ostinato.ids import child_id
from ostinato.retry import RetryPolicy

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Task(Generic[T_co]):
    """Something that will have a result.

    ``yield task`` gives the result or raises the failure; ``yield from task`` does the
    same and is typed.
    """

    __slots__ = ("_done", "_execution", "_order", "_watchers")

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._done = False
        self._order = 0
        self._watchers: Group[Any] | list[Group[Any]] | None = None

    def __iter__(self) -> Generator[Task[Any], Any, T_co]:
        result: T_co = yield self
        return result

    @property
    def is_completed(self) -> bool:
        """Whether the task has finished, well or not."""
        return self._done

    @property
    def is_faulted(self) -> bool:
        """Whether the task has failed."""
        return self._done and self._error() is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether the orchestrator cancelled the task."""
        return isinstance(self._error(), TaskCancelledError) if self._done else False

    is_canceled = is_cancelled

    @property
    def result(self) -> Any:
        """The result; the exception of a failed task; None while it runs.

        As in azure-functions-durable 1.x, reading it never raises.
        """
        if not self._done:
            return None
        error = self._error()
        if error is not None:
            return error
        try:
            return self._value()
        except CodecError as mistaken:  # it does not fit its annotation
            return mistaken

    def _failed_at(self) -> int:
        """Where in the order of finishing the failure is that the task raises."""
        return self._order

    def _value(self) -> T_co:
        """The result of a task that succeeded."""
        raise AssertionError("a task without a value")

    def _error(self) -> Exception | None:
        """The exception of a task that failed."""
        raise AssertionError("a task without an error")

    def _finish(self) -> None:
        self._done = True
        execution = self._execution
        execution.finished = self._order = execution.finished + 1
        watchers = self._watchers
        if watchers is None:
            return
        self._watchers = None
        for group in watchers if isinstance(watchers, list) else (watchers,):
            group._child_finished(self)

    def _watch(self, group: Group[Any]) -> None:
        watchers = self._watchers
        if watchers is None:
            self._watchers = group
        elif isinstance(watchers, list):
            watchers.append(group)
        else:
            self._watchers = [watchers, group]


class HostTask(Task[T_co]):
    """A task that the host finishes, with JSON text or a failure."""

    __slots__ = ("_code", "_failure", "_instruction", "_raised", "_raw", "_type")

    def __init__(self, execution: Execution, expected_type: Any) -> None:
        # Replay makes one of these for every activity: Task's own fields are set here, not
        # by a call of its __init__.
        self._execution = execution
        self._done = False
        self._order = 0
        self._watchers = None
        self._type = expected_type
        self._raw = "null"
        self._failure: Failure | None = None
        self._raised: Exception | None = None
        self._code: Any = None
        self._instruction = 0

    def site(self) -> Site | None:
        """Where the orchestrator asked."""
        return Site(self._code, self._instruction) if self._code is not None else None

    def waits_for(self) -> str:
        """What it waits for, in words for people."""
        raise AssertionError("a task that waits for nothing")

    def _label(self) -> str:
        return "result"

    def _value(self) -> T_co:
        value: T_co = decode(self._raw, self._type, self._label)
        return value

    def _error(self) -> Exception | None:
        if self._raised is None and self._failure is not None:
            self._raised = error_from(self._failure, self._execution.registry.exceptions)
        return self._raised

    def _succeed(self, raw: str) -> None:
        self._raw = raw
        self._finish()

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._finish()

    def _cancelled(self, what: str) -> None:
        self._raised = TaskCancelledError(f"{what} was cancelled")
        self._finish()


class Attempts(HostTask[T_co]):
    """A task made of attempts, with durable pauses between them."""

    __slots__ = ("_attempt", "_began", "_due", "_first_id", "_id", "_input", "_name", "_retry")

    def __init__(
        self,
        execution: Execution,
        expected_type: Any,
        name: str,
        input_text: str,
        retry: RetryPolicy | None,
    ) -> None:
        super().__init__(execution, expected_type)
        self._name = name
        self._input = input_text
        self._retry = retry
        self._attempt = 1
        self._due: datetime | None = None
        """While pausing: when the next attempt is due."""
        self._began = execution.clock
        self._id = self._first_id = execution.next_id
        self._begin()

    @property
    def attempt_id(self) -> int:
        """The task id of the latest attempt."""
        return self._id

    def _begin(self) -> None:
        """Ask under a new task id: the attempt or, while `_due` is set, the pause before it."""
        execution = self._execution
        task_id = execution.next_id
        execution.next_id = task_id + 1
        if self._due is None:
            self._id = task_id
        execution.asks[task_id] = execution.open[task_id] = self

    def action(self, task_id: int) -> Action:
        """What the host is to do."""
        if self._due is not None:
            return CreateTimer(task_id=task_id, due=self._due)
        return self._attempt_action(task_id)

    def _attempt_action(self, task_id: int) -> Action:
        raise AssertionError("attempts of nothing")

    def confirms(self, event: Event) -> bool:
        """Whether ``event`` records what this asks."""
        if self._due is not None:
            return isinstance(event, ev.TimerCreated)
        return self._confirms_attempt(event)

    def _confirms_attempt(self, event: Event) -> bool:
        raise AssertionError("attempts of nothing")

    def settle(self, event: Event) -> bool:
        """Take the end of an attempt or of a pause."""
        if self._due is None:
            return self._settle_attempt(event)
        if not isinstance(event, ev.TimerFired):
            return False
        self._pause_over()
        return True

    def _settle_attempt(self, event: Event) -> bool:
        raise AssertionError("attempts of nothing")

    _ANSWERS: tuple[type, ...] = ()
    """Events that end an attempt."""

    def expects(self, event: Event) -> bool:
        """Whether ``event`` is of the kind that answers what was asked."""
        return isinstance(event, ev.TimerFired if self._due is not None else self._ANSWERS)

    def _attempt_failed(self, failure: Failure) -> None:
        try:
            delay = self._pause(failure)
        except BaseException as error:  # the user's own retry predicate
            self._fail(failure_of(error, task=self._name, attempt=self._attempt))
            return
        if delay is None:
            self._fail(failure)
            return
        if delay > 0:
            self._due = self._execution.clock + timedelta(seconds=delay)
        else:
            self._attempt += 1
        self._begin()

    def _pause(self, failure: Failure) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        retry = self._retry
        if retry is None or not retry.matches(failure):
            return None
        elapsed = (self._execution.clock - self._began).total_seconds()
        seed = f"{self._execution.execution_id}:{self._first_id}"
        return retry.next_delay(self._attempt, elapsed, seed)

    def _waits_for(self, what: str) -> str:
        attempt = f", attempt {self._attempt}" if self._attempt > 1 else ""
        if self._due is None:
            return f"{what} (task {self._id}{attempt})"
        return f"the retry of {what} at {waits.moment(self._due)}"

    def _pause_over(self) -> None:
        self._due = None
        self._attempt += 1
        self._begin()


class ActivityTask(Attempts[T_co]):
    """A call of an activity."""

    __slots__ = ("_bound", "_group", "_timeout")

    _ANSWERS = (ev.TaskCompleted, ev.TaskFailed)

    def __init__(
        self,
        execution: Execution,
        expected_type: Any,
        name: str,
        input_text: str,
        retry: RetryPolicy | None,
        timeout: float | None,
        group: int | None = None,
        bound: int | None = None,
    ) -> None:
        self._timeout = timeout
        self._group = group
        self._bound = bound
        super().__init__(execution, expected_type, name, input_text, retry)

    def _attempt_action(self, task_id: int) -> Action:
        return ScheduleTask(
            task_id=task_id,
            name=self._name,
            input=self._input,
            attempt=self._attempt,
            first_id=None if self._attempt == 1 else self._first_id,
            group=self._group,
            bound=self._bound,
            timeout=self._timeout,
        )

    def _confirms_attempt(self, event: Event) -> bool:
        return isinstance(event, ev.TaskScheduled) and event.name == self._name

    def settle(self, event: Event) -> bool:
        """Take the end of an attempt or of a pause."""
        if self._due is None and isinstance(event, ev.TaskCompleted):  # nearly always
            self._raw = event.result
            self._finish()
            return True
        return super().settle(event)

    def _settle_attempt(self, event: Event) -> bool:
        if isinstance(event, ev.TaskFailed):
            self._attempt_failed(event.failure)
            return True
        return False

    def waits_for(self) -> str:
        """What it waits for, in words for people."""
        return self._waits_for(waits.activity(self._name))

    def _label(self) -> str:
        return f"result of activity {self._name!r}"


class SubOrchestrationTask(Attempts[T_co]):
    """A call of a child orchestration."""

    __slots__ = ("_instance_id", "_version")

    _ANSWERS = (ev.SubOrchestrationInstanceCompleted, ev.SubOrchestrationInstanceFailed)

    def __init__(
        self,
        execution: Execution,
        expected_type: Any,
        name: str,
        input_text: str,
        retry: RetryPolicy | None,
        instance_id: str | None,
        version: str | None,
    ) -> None:
        self._instance_id = instance_id
        self._version = version
        super().__init__(execution, expected_type, name, input_text, retry)

    @property
    def child_instance_id(self) -> str:
        """The id of the attempt's instance."""
        return self._instance_id or child_id(self._execution.execution_id, self._id)

    def _attempt_action(self, task_id: int) -> Action:
        return CreateSubOrchestration(
            task_id=task_id,
            name=self._name,
            instance_id=self.child_instance_id,
            input=self._input,
            version=self._version,
        )

    def _confirms_attempt(self, event: Event) -> bool:
        return (
            isinstance(event, ev.SubOrchestrationInstanceCreated)
            and event.name == self._name
            and not event.detached
        )

    def _settle_attempt(self, event: Event) -> bool:
        if isinstance(event, ev.SubOrchestrationInstanceCompleted):
            self._succeed(event.result)
        elif isinstance(event, ev.SubOrchestrationInstanceFailed):
            self._attempt_failed(event.failure)
        else:
            return False
        return True

    @property
    def running_child(self) -> str | None:
        """The child that ends with its parent."""
        return None if self._done or self._due is not None else self.child_instance_id

    def waits_for(self) -> str:
        """What it waits for, in words for people."""
        return self._waits_for(waits.child(self._name, self.child_instance_id))

    def _label(self) -> str:
        return f"output of orchestration {self._name!r}"


class Timed(HostTask[T_co]):
    """A task with a durable timer: it may be all of it, or its deadline."""

    __slots__ = ("_due", "_timer_id")

    def __init__(self, execution: Execution, expected_type: Any, due: datetime) -> None:
        super().__init__(execution, expected_type)
        self._due = due
        self._timer_id = -1

    def _set_timer(self) -> None:
        execution = self._execution
        self._timer_id = execution.take_id()
        execution.asks[self._timer_id] = execution.open[self._timer_id] = self

    def _drop_timer(self) -> None:
        if self._timer_id >= 0:
            self._execution.open.pop(self._timer_id, None)
            self._execution.withdrawn.append(self._timer_id)

    def cancel(self) -> None:
        """Give up the task; awaiting it then raises `TaskCancelledError`.

        Of a wait for an event: an event that comes later is kept for the next waiter.

        Raises:
            ValueError: It has finished already.
        """
        if self._done:
            if self.is_cancelled:
                return
            raise ValueError("Cannot cancel a completed task.")
        self._withdraw()
        self._drop_timer()
        self._cancelled(self._shown())

    def _shown(self) -> str:
        """What is cancelled, in words for people."""
        return self.waits_for()

    def action(self, task_id: int) -> Action:
        """What the host is to do."""
        return CreateTimer(task_id=task_id, due=self._due)

    def confirms(self, event: Event) -> bool:
        """Whether ``event`` records what this asks."""
        return isinstance(event, ev.TimerCreated)

    def expects(self, event: Event) -> bool:
        """Whether ``event`` is of the kind that answers what was asked."""
        return isinstance(event, ev.TimerFired)

    def settle(self, event: Event) -> bool:
        """Take the fired timer."""
        if not isinstance(event, ev.TimerFired):
            return False
        self._withdraw()
        self._time_is_up()
        return True

    def _withdraw(self) -> None:
        """Wait for nothing but the timer any more."""

    def _time_is_up(self) -> None:
        raise AssertionError("a timer for nothing")


class TimerTask(Timed[None]):
    """A durable timer."""

    __slots__ = ()

    def __init__(self, execution: Execution, due: datetime) -> None:
        super().__init__(execution, None, due)
        self._set_timer()

    @property
    def due(self) -> datetime:
        """When it fires, in UTC."""
        return self._due

    def waits_for(self) -> str:
        """What it waits for, in words for people."""
        return waits.timer(self._due)

    def _time_is_up(self) -> None:
        self._succeed("null")


class EventTask(Timed[T_co]):
    """A wait for an external event, with a timer when it has a deadline."""

    __slots__ = ("_event_name",)

    def __init__(
        self, execution: Execution, expected_type: Any, name: str, timeout: timedelta | None
    ) -> None:
        due = execution.clock if timeout is None else execution.clock + timeout
        super().__init__(execution, expected_type, due)
        self._event_name = name
        buffered = execution.buffered.get(name)
        if buffered:
            _, event = buffered.popleft()
            self._succeed(event.data)
            return
        execution.waiters.setdefault(name, []).append(self)
        if timeout is not None:
            self._set_timer()

    @property
    def event_name(self) -> str:
        """The event waited for."""
        return self._event_name

    def take(self, event: EventRaised) -> None:
        """Finish with the event."""
        self._drop_timer()
        self._succeed(event.data)

    def waits_for(self) -> str:
        """What it waits for, in words for people."""
        return f"event {self._event_name!r}"

    def _shown(self) -> str:
        return f"the wait for {self.waits_for()}"

    def _withdraw(self) -> None:
        self._execution.waiters[self._event_name].remove(self)

    def _time_is_up(self) -> None:
        message = f"no event {self._event_name!r} came by {self._due.isoformat()}"
        self._fail(unstructured("TimeoutError", message))

    def _label(self) -> str:
        return f"data of event {self._event_name!r}"


class Group(Task[T_co]):
    """A task made of others."""

    __slots__ = ("_children",)

    def __init__(self, execution: Execution, children: Sequence[Task[Any]]) -> None:
        super().__init__(execution)
        self._children = children

    @property
    def children(self) -> Sequence[Task[Any]]:
        """The tasks that it is made of, in the order given."""
        return self._children

    def _child_finished(self, child: Task[Any]) -> None:
        raise AssertionError("a group that heeds no child")


class AllTask(Group[list[T]]):
    """Done when every child is; fails with the failure that came first in history."""

    __slots__ = ("_first_failed", "_pending")

    def __init__(self, execution: Execution, children: Sequence[Task[T]]) -> None:
        super().__init__(execution, children)
        self._first_failed: Task[Any] | None = None
        self._pending = 0
        for child in children:
            if child._done:
                self._note(child)
            else:
                self._pending += 1
                child._watch(self)
        if self._pending == 0:
            self._finish()

    def _note(self, child: Task[Any]) -> None:
        if child._error() is not None and (
            self._first_failed is None or child._failed_at() < self._first_failed._failed_at()
        ):
            self._first_failed = child

    def _failed_at(self) -> int:
        return self._order if self._first_failed is None else self._first_failed._failed_at()

    def _child_finished(self, child: Task[Any]) -> None:
        self._note(child)
        self._pending -= 1
        if self._pending == 0:
            self._finish()

    def _value(self) -> list[T]:
        return [child._value() for child in self._children]

    def _error(self) -> Exception | None:
        return None if self._first_failed is None else self._first_failed._error()


class AnyTask(Group[Task[T]]):
    """Done with the first child that is; its result is that child, failed or not."""

    __slots__ = ("_winner",)

    def __init__(self, execution: Execution, children: Sequence[Task[T]]) -> None:
        super().__init__(execution, children)
        finished = [child for child in children if child._done]
        self._winner = min(finished, key=lambda child: child._order, default=None)
        if self._winner is not None:
            self._finish()
            return
        for child in children:
            child._watch(self)

    def _child_finished(self, child: Task[Any]) -> None:
        if self._winner is None:
            self._winner = child
            self._finish()

    def _value(self) -> Task[T]:
        assert self._winner is not None
        return self._winner

    def _error(self) -> Exception | None:
        return None


class OneWay:
    """Something asked that brings no answer: an event sent, a detached instance."""

    __slots__ = ("_action", "_code", "_instruction")

    def __init__(
        self, action: SendEvent | CreateSubOrchestration, code: Any, instruction: int
    ) -> None:
        self._action = action
        self._code = code
        self._instruction = instruction

    def action(self, task_id: int) -> Action:
        """What the host is to do."""
        return self._action

    def confirms(self, event: Event) -> bool:
        """Whether ``event`` records what this asks."""
        if isinstance(self._action, SendEvent):
            return isinstance(event, ev.EventSent) and event.name == self._action.name
        return (
            isinstance(event, ev.SubOrchestrationInstanceCreated)
            and event.detached
            and event.name == self._action.name
        )

    def site(self) -> Site | None:
        """Where the orchestrator asked."""
        return Site(self._code, self._instruction)


class NeverTask(Task[Any]):
    """What a refused call returns: the execution ends at its next wait."""

    __slots__ = ()

    def _error(self) -> Exception | None:
        return None
