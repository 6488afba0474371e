"""The orchestration context: what an orchestrator may ask for.

Method names, positional order and keyword names are those of
azure-functions-durable 1.x's DurableOrchestrationContext, so that its orchestrators run
unchanged; keyword-only parameters and further methods are ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ostinato import arguments
from ostinato.actions import ContinuedAsNew, CreateSubOrchestration, SendEvent
from ostinato.arguments import as_utc, seconds
from ostinato.codec import decode, encode, is_type
from ostinato.definitions import UNVERSIONED
from ostinato.errors import PayloadTooLargeError, UnsupportedError
from ostinato.execution import MOST_AT_ONCE, Execution
from ostinato.ids import child_id, validate_instance_id
from ostinato.retry import RetryOptions, RetryPolicy, as_policy
from ostinato.tasks import (
    ActivityTask,
    AllTask,
    AnyTask,
    EventTask,
    HostTask,
    NeverTask,
    OneWay,
    SubOrchestrationTask,
    Task,
    TimerTask,
)

if TYPE_CHECKING:
    import logging
    import random
    from types import FrameType
    from uuid import UUID

    from ostinato.activities import ActivityContext
    from ostinato.definitions import Name
    from ostinato.durable_http import DurableHttpResponse

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
T = TypeVar("T")

CUSTOM_STATUS_LIMIT = 16_384
"""Bytes of a custom status' JSON as UTF-16: Azure's limit, kept on every host."""

_UNSET: Any = object()


class OrchestrationContext:
    """Given to an orchestrator; everything on it is the same on every replay."""

    __slots__ = ("_execution", "_logger", "_random")

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._logger: logging.LoggerAdapter[Any] | None = None
        self._random: random.Random | None = None

    # Who and when

    @property
    def instance_id(self) -> str:
        """This instance."""
        return self._execution.instance_id

    @property
    def execution_id(self) -> str:
        """This generation of the instance: first run, continue-as-new or restart."""
        return self._execution.execution_id

    @property
    def parent_instance_id(self) -> str | None:
        """The instance that awaits this one."""
        parent = self._execution.parent
        return None if parent is None else parent.instance_id

    @property
    def name(self) -> str:
        """The orchestration's registered name."""
        return self._execution.name

    @property
    def version(self) -> str | None:
        """The version that this instance runs on."""
        return self._execution.version

    @property
    def is_replaying(self) -> bool:
        """Whether this code has run before, for the same events."""
        return self._execution.replaying or self._execution.dead

    @property
    def current_utc_datetime(self) -> datetime:
        """The orchestrator's clock: aware, in UTC; it moves only between turns."""
        return self._execution.clock

    def get_input(self, expected_type: Any = None) -> Any:
        """Return the input, decoded as ``expected_type`` or by the orchestrator's annotation.

        Raises:
            CodecError: The input does not fit the type.
        """
        execution = self._execution
        definition = execution.registry.orchestration(execution.name, execution.version)
        annotated = Any if definition is None else definition.signature.input_type
        wanted = _decoded_as(expected_type, annotated)
        return decode(execution.input, wanted, f"input of orchestration {self.name!r}")

    # Calls

    @overload
    def call_activity(
        self,
        name: str | Callable[..., Any],
        input_: Any = None,
        *,
        expected_type: type[R],
        input: Any = ...,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    @overload
    def call_activity(
        self,
        name: str,
        input_: Any = None,
        expected_type: Any = None,
        *,
        input: Any = ...,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[Any]: ...
    @overload
    def call_activity(
        self,
        name: Callable[[], Coroutine[Any, Any, R]],
        *,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    @overload
    def call_activity(
        self,
        name: Callable[[I], Coroutine[Any, Any, R]]
        | Callable[[I, ActivityContext], Coroutine[Any, Any, R]],
        input_: I,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    @overload
    def call_activity(
        self,
        name: Callable[[], R] | Callable[[ActivityContext], R],
        *,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    @overload
    def call_activity(
        self,
        name: Callable[[I], R] | Callable[[I, ActivityContext], R],
        input_: I,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    @overload
    def call_activity(
        self,
        name: Callable[[I], R] | Callable[[I, ActivityContext], R],
        *,
        input: I,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[R]: ...
    def call_activity(
        self,
        name: Name,
        input_: Any = None,
        expected_type: Any = None,
        *,
        input: Any = _UNSET,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[Any]:
        """Schedule an activity; it runs even if the task is never yielded.

        Args:
            name: The activity's function or registered name.
            input_: Its input (``input=`` does the same).
            expected_type: Decode the result as this, rather than by the annotation.
            retry: How to retry; None means the policy of the activity's decorator.
            timeout: Seconds that one attempt may take; None means the decorator's.

        Raises:
            CodecError: The input cannot be written as JSON.
            PayloadTooLargeError: The input is over the application's limit.
            TypeError: ``expected_type`` is no type, as a second input in its place is none.
        """
        return self._activity(
            name,
            input_ if input is _UNSET else input,
            expected_type,
            retry,
            timeout,
            sys._getframe(1),
        )

    def call_activity_with_retry(
        self,
        name: Name,
        retry_options: RetryPolicy | RetryOptions,
        input_: Any = None,
        expected_type: Any = None,
    ) -> Task[Any]:
        """Schedule an activity that is retried; as `call_activity` with ``retry``."""
        policy = as_policy(retry_options)
        return self._activity(name, input_, expected_type, policy, None, sys._getframe(1))

    def _activity(
        self,
        name: Name,
        value: Any,
        expected_type: Any,
        retry: RetryPolicy | None,
        timeout: float | timedelta | None,
        frame: FrameType,
    ) -> Task[Any]:
        execution = self._execution
        execution.spend()
        registry = execution.registry
        definition = registry.activity(name)
        if definition is None:
            known = [d.name for d in registry.activities()]
            execution.refuse_name("activity", name, known, frame)
            return NeverTask(execution)
        task: ActivityTask[Any] = ActivityTask(
            execution,
            _decoded_as(expected_type, definition.signature.return_type),
            definition.name,
            encode(value, definition.input_label, registry.payload_limit),
            definition.retry if retry is None else as_policy(retry),
            definition.timeout if timeout is None else seconds(timeout, "timeout"),
        )
        task._code = frame.f_code
        task._instruction = frame.f_lasti
        return task

    @overload
    def map(
        self,
        fn: Callable[[I], Coroutine[Any, Any, R]]
        | Callable[[I, ActivityContext], Coroutine[Any, Any, R]],
        items: Iterable[I],
        *,
        max_concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[list[R]]: ...
    @overload
    def map(
        self,
        fn: Callable[[I], R] | Callable[[I, ActivityContext], R],
        items: Iterable[I],
        *,
        max_concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[list[R]]: ...
    @overload
    def map(
        self,
        fn: str,
        items: Iterable[Any],
        *,
        max_concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[list[Any]]: ...
    def map(
        self,
        fn: Name,
        items: Iterable[Any],
        *,
        max_concurrency: int | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[Any]:
        """Run an activity on every item, at most ``max_concurrency`` attempts at a time.

        Results come in the order of the items. All are scheduled at once, as one group;
        the host starts them in that order. As in `task_all`, every item is waited for
        before the first failure is raised.

        Raises:
            ValueError: ``max_concurrency`` is less than 1.
            CodecError: An item cannot be written as JSON.
        """
        if max_concurrency is not None:
            arguments.count(max_concurrency, "max_concurrency")
        execution = self._execution
        given = list(islice(items, MOST_AT_ONCE + 1))
        execution.spend(len(given))
        registry = execution.registry
        definition = registry.activity(fn)
        if definition is None:
            execution.refuse_name(
                "activity", fn, [d.name for d in registry.activities()], sys._getframe(1)
            )
            return NeverTask(execution)
        frame = sys._getframe(1)
        code, instruction = frame.f_code, frame.f_lasti
        label, limit = definition.input_label, registry.payload_limit
        texts = [encode(item, label, limit) for item in given]
        group = None if max_concurrency is None else execution.next_id
        result_type = definition.signature.return_type
        policy = definition.retry if retry is None else as_policy(retry)
        allowed = definition.timeout if timeout is None else seconds(timeout, "timeout")
        tasks: list[Task[Any]] = []
        for text in texts:
            task: ActivityTask[Any] = ActivityTask(
                execution,
                result_type,
                definition.name,
                text,
                policy,
                allowed,
                group,
                max_concurrency,
            )
            task._code = code
            task._instruction = instruction
            tasks.append(task)
        return AllTask(execution, tasks)

    @overload
    def call_sub_orchestrator(
        self,
        name: str,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
        *,
        input: Any = ...,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: Callable[..., Generator[Any, Any, R]],
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
        *,
        input: Any = ...,
        retry: RetryPolicy | None = None,
    ) -> Task[R]: ...
    def call_sub_orchestrator(
        self,
        name: Name,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
        *,
        input: Any = _UNSET,
        retry: RetryPolicy | None = None,
    ) -> Task[Any]:
        """Start a child; its failure is raised here, and it ends with its parent.

        Args:
            name: The orchestration's function or registered name.
            input_: Its input (``input=`` does the same).
            instance_id: Its id; by default this execution's id and the task's.
            version: Its version; by default the one registered last.
            expected_type: Decode the output as this, rather than by the annotation.
            retry: How to retry; a new attempt is a new instance.

        Raises:
            InvalidInstanceIdError: The id is not valid on every host.
            CodecError: The input cannot be written as JSON.
            PayloadTooLargeError: The input is over the application's limit.
        """
        value = input_ if input is _UNSET else input
        return self._child(
            name, value, instance_id, version, expected_type, retry, sys._getframe(1)
        )

    def call_sub_orchestrator_with_retry(
        self,
        name: Name,
        retry_options: RetryPolicy | RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
    ) -> Task[Any]:
        """Start a child that is retried; as `call_sub_orchestrator` with ``retry``."""
        policy = as_policy(retry_options)
        return self._child(
            name, input_, instance_id, version, expected_type, policy, sys._getframe(1)
        )

    def _child(
        self,
        name: Name,
        value: Any,
        instance_id: str | None,
        version: str | None,
        expected_type: Any,
        retry: RetryPolicy | None,
        frame: FrameType,
    ) -> Task[Any]:
        execution = self._execution
        execution.spend()
        registry = execution.registry
        definition = registry.orchestration(name, version)
        if definition is None:
            self._refuse_orchestration(name, version, frame)
            return NeverTask(execution)
        if instance_id is not None:
            validate_instance_id(instance_id)
        task: SubOrchestrationTask[Any] = SubOrchestrationTask(
            execution,
            _decoded_as(expected_type, definition.signature.return_type),
            definition.name,
            encode(value, definition.input_label, registry.payload_limit),
            None if retry is None else as_policy(retry),
            instance_id,
            arguments.optional_text(version, "version"),
        )
        task._code = frame.f_code
        task._instruction = frame.f_lasti
        return task

    def _refuse_orchestration(self, name: Name, version: str | None, frame: FrameType) -> None:
        registry = self._execution.registry
        shown = registry.name_of(name)
        if version is not None and registry.orchestration(name) is not None:
            self._execution.refuse(
                "UnknownNameError",
                f"orchestration {shown!r} has no version {version!r}: register it, then rewind",
            )
            return
        known = sorted({d.name for d in registry.orchestrations()})
        self._execution.refuse_name("orchestration", name, known, frame)

    def start_orchestration(
        self,
        name: Name,
        input_: Any = None,
        instance_id: str | None = None,
        *,
        version: str | None = None,
    ) -> str:
        """Start an instance that belongs to nobody, once, and return its id.

        Nothing comes back from it, and an instance that exists already is left alone.

        Raises:
            InvalidInstanceIdError: The id is not valid on every host.
            CodecError: The input cannot be written as JSON.
        """
        execution = self._execution
        execution.spend()
        definition = execution.registry.orchestration(name, version)
        if definition is None:
            self._refuse_orchestration(name, version, sys._getframe(1))
            return instance_id or ""
        if instance_id is not None:
            validate_instance_id(instance_id)
        text = encode(input_, definition.input_label, execution.registry.payload_limit)
        task_id = execution.take_id()
        started = instance_id or child_id(execution.execution_id, task_id)
        self._one_way(
            CreateSubOrchestration(
                task_id=task_id,
                name=definition.name,
                instance_id=started,
                input=text,
                version=version,
                detached=True,
            ),
            sys._getframe(1),
        )
        return started

    def send_event(self, instance_id: str, name: str, data: Any = None) -> None:
        """Raise an event on another instance, once; an unknown or finished one is no error.

        Raises:
            CodecError: The data cannot be written as JSON.
        """
        execution = self._execution
        execution.spend()
        validate_instance_id(instance_id)
        arguments.text(name, "name of an event")
        text = encode(data, f"data of event {name!r}", execution.registry.payload_limit)
        task_id = execution.take_id()
        self._one_way(
            SendEvent(
                task_id=task_id,
                instance_id=instance_id,
                name=name,
                data=text,
                event_id=child_id(execution.execution_id, task_id),
            ),
            sys._getframe(1),
        )

    def _one_way(self, action: SendEvent | CreateSubOrchestration, frame: FrameType) -> None:
        ask = OneWay(action, frame.f_code, frame.f_lasti)
        self._execution.asks[action.task_id] = ask

    def call_http(
        self,
        method: str,
        uri: str,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        token_source: Any = None,
        is_raw_str: bool = False,
        *,
        header_env: Mapping[str, str] | None = None,
        poll: bool = True,
        poll_interval: float | timedelta = 30.0,
        retry: RetryPolicy | None = None,
        timeout: float | timedelta | None = None,
    ) -> Task[DurableHttpResponse]:
        """Make an HTTP request as an activity; any status is a result, not a failure.

        Args:
            method: GET, POST, ...
            uri: Where to.
            content: The body, sent as JSON.
            headers: Kept in history: secrets belong in ``header_env``.
            token_source: A `ManagedIdentityTokenSource`, or 1.x's: the request carries a token
                for its resource, fetched where it is made and kept out of history.
            is_raw_str: The body is a text, sent as it is.
            header_env: Header name to the environment variable that holds its value,
                read where the request is made and kept out of history.
            poll: Follow 202 answers with a Location by durable timers until the work is done.
            poll_interval: Seconds between polls where the answer has no Retry-After.
            retry: How to retry when no answer comes.
            timeout: Seconds that one request may take.
        """
        from ostinato.durable_http import HttpTask, request_of

        request = request_of(method, uri, content, headers, header_env, token_source, is_raw_str)
        interval = seconds(poll_interval, "poll_interval")
        return HttpTask(self, request, interval if poll else None, retry, timeout, sys._getframe(1))

    # Waiting

    def task_all(self, activities: Iterable[Task[T]]) -> Task[list[T]]:
        """Wait for every task; results in order.

        Raises, when yielded, the failure that came first in history, once all are done.
        """
        return AllTask(self._execution, _tasks(activities, "task_all"))

    def task_any(self, activities: Iterable[Task[T]]) -> Task[Task[T]]:
        """Wait for the first task to finish, failed ones included; the result is that task.

        Raises:
            ValueError: There are none.
        """
        tasks = _tasks(activities, "task_any")
        if not tasks:
            raise ValueError("task_any needs at least one task: it would wait for ever")
        return AnyTask(self._execution, tasks)

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask:
        """Wait until a time, or for a while; of any length.

        A datetime without a zone is taken as UTC; one in the past fires at once.
        """
        self._execution.spend()
        if isinstance(fire_at, timedelta):
            due = self._execution.clock + fire_at
        elif isinstance(fire_at, datetime):
            due = as_utc(fire_at)
        else:
            raise TypeError(
                f"create_timer takes a datetime or a timedelta, not {type(fire_at).__name__}; "
                "for seconds pass timedelta(seconds=...)"
            )
        return self._at(TimerTask(self._execution, due), sys._getframe(1))

    @overload
    def wait_for_external_event(
        self, name: str, expected_type: type[R], *, timeout: float | timedelta | None = None
    ) -> EventTask[R]: ...
    @overload
    def wait_for_external_event(
        self, name: str, expected_type: None = None, *, timeout: float | timedelta | None = None
    ) -> EventTask[Any]: ...
    def wait_for_external_event(
        self, name: str, expected_type: Any = None, *, timeout: float | timedelta | None = None
    ) -> EventTask[Any]:
        """Wait for an event; those that came early are taken first, oldest first.

        Of several waiters the newest takes the next event. With ``timeout`` (seconds) the
        wait fails with TimeoutError, and an event that comes later is kept.
        """
        self._execution.spend()
        arguments.text(name, "name of an event")
        allowed = None if timeout is None else timedelta(seconds=seconds(timeout, "timeout"))
        task: EventTask[Any] = EventTask(
            self._execution, _decoded_as(expected_type, Any), name, allowed
        )
        return self._at(task, sys._getframe(1))

    def _at(self, task: _H, frame: FrameType) -> _H:
        task._code = frame.f_code
        task._instruction = frame.f_lasti
        return task

    # The instance itself

    def continue_as_new(
        self, input_: Any = None, keep_events: bool = True, *, version: str | None = None
    ) -> None:
        """End this execution at its next wait or return, and start afresh with ``input_``.

        Events that no one has taken are kept, unless ``keep_events`` is False. The version
        stays, unless told.

        Raises:
            CodecError: The input cannot be written as JSON, or does not fit the annotation.
        """
        execution = self._execution
        label = f"input of orchestration {self.name!r}"
        text = encode(input_, label, execution.registry.payload_limit)
        definition = execution.registry.orchestration(
            self.name, version or execution.version or UNVERSIONED
        )
        if definition is not None and definition.signature.takes_input:
            decode(text, definition.signature.input_type, label)
        arguments.optional_text(version, "version")
        if version is not None and execution.registry.orchestration(self.name, version) is None:
            self._refuse_orchestration(self.name, version, sys._getframe(1))
        if not keep_events:
            execution.buffered.clear()
        execution.continuation = ContinuedAsNew(
            input=text,
            events=(),
            event_ids=(),
            custom_status=None,
            version=(execution.version or UNVERSIONED) if version is None else version,
        )

    @property
    def will_continue_as_new(self) -> bool:
        """Whether `continue_as_new` was called."""
        return self._execution.continuation is not None

    def set_custom_status(self, status: Any) -> None:
        """Show ``status`` in the instance's status; None clears it.

        Raises:
            PayloadTooLargeError: Its JSON has more than 16,384 bytes as UTF-16.
            CodecError: It cannot be written as JSON.
        """
        if status is None:
            self._execution.custom_status = None
            return
        text = encode(status, "custom status")
        size = len(text.encode("utf-16-le"))
        if size > CUSTOM_STATUS_LIMIT:
            raise PayloadTooLargeError(
                f"custom status has {size:,} bytes as UTF-16; at most {CUSTOM_STATUS_LIMIT:,} are "
                "allowed on every host: keep the details elsewhere and put a reference here"
            )
        self._execution.custom_status = text

    @property
    def custom_status(self) -> Any:
        """The custom status as last set; it survives continue_as_new."""
        text = self._execution.custom_status
        return None if text is None else decode(text, Any, "custom status")

    def patched(self, patch_id: str) -> bool:
        """Whether to take a change's new path: False where this instance is past it already.

        Recorded as a Marker, so the answer stays the same for the instance.
        """
        execution = self._execution
        answer = execution.patches.get(patch_id)
        if answer is None:
            marker = f"patch:{patch_id}"
            recorded = execution.has_marker(marker)
            answer = recorded or execution.decides
            execution.patches[patch_id] = answer
            if answer and not recorded:
                execution.new_markers.append(marker)
        return answer

    # Deterministic stand-ins

    def new_guid(self) -> UUID:
        """Return a UUID that is the same on every replay."""
        import uuid

        execution = self._execution
        execution.uuids += 1
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{execution.execution_id}:{execution.uuids}")

    def new_uuid(self) -> str:
        """Return a UUID, as text, that is the same on every replay."""
        return str(self.new_guid())

    @property
    def random(self) -> random.Random:
        """A random generator, seeded by the execution: the same on every replay."""
        if self._random is None:
            import random

            self._random = random.Random(self._execution.execution_id)
        return self._random

    @property
    def logger(self) -> logging.LoggerAdapter[Any]:
        """A logger that is silent while replaying.

        Its records have ``instance_id`` and ``orchestration`` as extra fields.
        """
        if self._logger is None:
            from ostinato.replay_logging import replay_safe_logger

            self._logger = replay_safe_logger(self)
        return self._logger

    # Entities: their behaviour comes later

    def call_entity(
        self,
        entityId: Any,
        operationName: str,
        operationInput: Any = None,
        expected_type: Any = None,
    ) -> Task[Any]:
        """Not available yet.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(_NO_ENTITIES)

    def signal_entity(self, entityId: Any, operationName: str, operationInput: Any = None) -> None:
        """Not available yet.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(_NO_ENTITIES)


_H = TypeVar("_H", bound=HostTask[Any])

_NO_ENTITIES = (
    "entities are not supported yet: keep the state in an eternal orchestration that waits for "
    "events, or in a database behind an activity"
)


def _decoded_as(given: Any, annotated: Any) -> Any:
    """The type of a result: the one given with the call, or else the annotation's."""
    if given is None:
        return annotated
    if not is_type(given):
        raise TypeError(
            f"expected_type is a type, not {type(given).__name__} ({given!r}); a call takes one "
            "input (for several values a tuple or a dataclass), and what else it takes by keyword"
        )
    return given


def _tasks(given: Iterable[Task[Any]], call: str) -> list[Task[Any]]:
    tasks = list(given)
    for task in tasks:
        if not isinstance(task, Task):
            raise TypeError(
                f"{call} takes tasks, but one of these is {type(task).__name__}; "
                "give it what ctx.call_activity and the like return"
            )
    return tasks
