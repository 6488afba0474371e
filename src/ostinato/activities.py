"""Running one attempt of an activity: the same on every host.

A host decides when and where an attempt runs; what happens then is decided here, so that
decoding, timeouts, cancellation and failures do not differ between hosts.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ostinato import codec, ids
from ostinato.definitions import ActivityContextMarker, ActivityDefinition
from ostinato.errors import TaskCancelledError
from ostinato.events import Json
from ostinato.failures import ACTIVITY_ERROR, Failure, failure_of, unstructured

if TYPE_CHECKING:
    import asyncio

_NOT_A_RESULT = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_abandoned: set[asyncio.Task[Outcome]] = set()
"""Timed-out coroutines that have not ended yet: a task nobody holds may be collected."""


class ActivityCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt, as it was scheduled."""

    instance_id: str
    execution_id: str
    task_id: int
    first_id: int
    """The task id of the first attempt."""
    attempt: int = 1
    name: str
    input: Json = "null"
    timeout: float | None = None
    """Seconds from the attempt's start; None: the activity's own."""


class ActivityCompleted(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The activity returned."""

    result: Json


class ActivityFailed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The attempt raised or timed out."""

    failure: Failure


class ActivityCrashed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The process that ran the attempt died; whether to try again is the host's to decide."""

    reason: str


Outcome: TypeAlias = ActivityCompleted | ActivityFailed | ActivityCrashed
Heartbeat: TypeAlias = Callable[[Json | None], None]
"""Takes the details of one sign of life."""


class CancelToken:
    """Asks an activity to stop; the activity looks at it when it likes. Thread-safe."""

    __slots__ = ("_event", "seen")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.seen = False
        """Whether the activity knows; what it then returns does not count as its result."""

    @property
    def cancelled(self) -> bool:
        if not self._event.is_set():
            return False
        self.seen = True
        return True

    def cancel(self) -> None:
        """Ask; asking twice is the same as once."""
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds and return whether it was cancelled."""
        return self._event.wait(timeout) and self.cancelled


class ActivityContext(ActivityContextMarker):
    """What an activity may know about the attempt it is."""

    __slots__ = ("_call", "_on_heartbeat", "_token")

    def __init__(
        self, call: ActivityCall, token: CancelToken, on_heartbeat: Heartbeat | None = None
    ) -> None:
        self._call = call
        self._token = token
        self._on_heartbeat = on_heartbeat

    @property
    def instance_id(self) -> str:
        """The orchestration instance that asked."""
        return self._call.instance_id

    @property
    def execution_id(self) -> str:
        """The instance's generation: it changes with continue-as-new and restart."""
        return self._call.execution_id

    @property
    def task_id(self) -> int:
        """Unique to the attempt within its execution."""
        return self._call.task_id

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._call.attempt

    @property
    def name(self) -> str:
        """The activity's registered name."""
        return self._call.name

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this call, and for no other call."""
        call = self._call
        return ids.idempotency_key(call.execution_id, call.first_id, call.name)

    def heartbeat(self, details: Any = None) -> None:
        """Report that the activity is alive, with details to show in its status.

        Raises:
            CodecError: ``details`` cannot be written as JSON.
        """
        if self._on_heartbeat is not None:
            what = f"heartbeat of activity {self.name!r}"
            self._on_heartbeat(None if details is None else codec.encode(details, what))

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: ended, timed out or shutting down."""
        return self._token.cancelled

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelledError` when the activity is asked to stop."""
        if self._token.cancelled:
            raise TaskCancelledError(f"activity {self.name!r} was asked to stop")

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Block at most ``timeout`` seconds and return whether the activity is asked to stop.

        For sync activities: an async one would block its event loop, and looks at `cancelled`.
        """
        return self._token.wait(timeout)


def run_activity(
    definition: ActivityDefinition,
    call: ActivityCall,
    token: CancelToken | None = None,
    *,
    limit: int | None = None,
    on_heartbeat: Heartbeat | None = None,
) -> Outcome:
    """Run an attempt of a sync activity to its end; nothing is raised.

    With a timeout the function runs in a thread of its own. Python cannot stop a thread, so
    after the timeout it runs on, cancelled and unheard. ``limit`` is in bytes of the result's
    JSON; ``on_heartbeat`` is called in the activity's thread.
    """
    timeout = timeout_of(definition, call)
    token = token or _token_for(definition)
    if timeout is None:
        return _attempt(definition, call, token, limit, on_heartbeat)
    import contextvars
    from queue import Empty, SimpleQueue

    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    attempt = contextvars.copy_context()
    thread = threading.Thread(
        target=lambda: outcomes.put(
            attempt.run(_attempt, definition, call, token, limit, on_heartbeat)
        ),
        name=f"ostinato-timeout-{definition.name}",
        daemon=True,
    )
    thread.start()
    try:
        outcome = outcomes.get(timeout=timeout)
    except Empty:
        if token is not None:
            token.cancel()
        return timed_out(call, timeout)
    thread.join()
    return outcome


async def run_activity_async(
    definition: ActivityDefinition,
    call: ActivityCall,
    token: CancelToken | None = None,
    *,
    limit: int | None = None,
    on_heartbeat: Heartbeat | None = None,
) -> Outcome:
    """Run an attempt of an async activity to its end; nothing of its own is raised.

    After a timeout the coroutine is cancelled; what it does in answer is not waited for.
    ``limit`` is in bytes of the result's JSON; ``on_heartbeat`` is called in the event loop.
    """
    timeout = timeout_of(definition, call)
    token = token or _token_for(definition)
    attempt = _attempt_async(definition, call, token, limit, on_heartbeat)
    if timeout is None:
        return await attempt
    import asyncio

    task = asyncio.get_running_loop().create_task(attempt)
    try:
        await asyncio.wait((task,), timeout=timeout)
    finally:
        if not task.done():
            if token is not None:
                token.cancel()
            task.cancel()
            _abandoned.add(task)
            task.add_done_callback(_abandoned.discard)
    return task.result() if task.done() else timed_out(call, timeout)


def timeout_of(definition: ActivityDefinition, call: ActivityCall) -> float | None:
    """Seconds that the attempt may take."""
    return definition.timeout if call.timeout is None else call.timeout


def timed_out(call: ActivityCall, timeout: float) -> ActivityFailed:
    """The outcome of an attempt that took too long."""
    message = f"activity {call.name!r} took longer than {timeout:g} seconds"
    return ActivityFailed(
        unstructured("TimeoutError", message, task=call.name, attempt=call.attempt)
    )


def failed(call: ActivityCall, error: BaseException) -> ActivityFailed:
    """The outcome of an attempt that raised ``error``."""
    return ActivityFailed(failure_of(error, task=call.name, attempt=call.attempt))


def _foreign(call: ActivityCall) -> ActivityFailed:
    message = f"activity {call.name!r} is another application's: no one here runs it"
    return ActivityFailed(unstructured(ACTIVITY_ERROR, message, call.name, call.attempt))


def _gave_way(call: ActivityCall) -> ActivityFailed:
    """The outcome of an attempt that saw that it was to stop: what it returned may be partial."""
    error = TaskCancelledError(f"activity {call.name!r} was asked to stop, and did")
    return failed(call, error)


def _attempt(
    definition: ActivityDefinition,
    call: ActivityCall,
    token: CancelToken | None,
    limit: int | None,
    on_heartbeat: Heartbeat | None,
) -> Outcome:
    if definition.fn is None:
        return _foreign(call)
    try:
        returned = _function(definition)(*_arguments(definition, call, token, on_heartbeat))
        outcome = _completed(definition, returned, limit)
        return outcome if token is None or not token.seen else _gave_way(call)
    except BaseException as error:  # SystemExit of user code must not end the host's thread
        return failed(call, _without_our_frame(error))


async def _attempt_async(
    definition: ActivityDefinition,
    call: ActivityCall,
    token: CancelToken | None,
    limit: int | None,
    on_heartbeat: Heartbeat | None,
) -> Outcome:
    try:
        returned = await _function(definition)(*_arguments(definition, call, token, on_heartbeat))
        outcome = _completed(definition, returned, limit)
        return outcome if token is None or not token.seen else _gave_way(call)
    except BaseException as error:
        if _is_cancelled_by_host(error):
            raise
        return failed(call, _without_our_frame(error))


def _function(definition: ActivityDefinition) -> Callable[..., Any]:
    assert definition.fn is not None
    return definition.fn


def _arguments(
    definition: ActivityDefinition,
    call: ActivityCall,
    token: CancelToken | None,
    on_heartbeat: Heartbeat | None,
) -> tuple[Any, ...]:
    signature = definition.signature
    if not signature.takes_input:
        given: tuple[Any, ...] = ()
    else:
        given = (codec.decode(call.input, signature.input_type, definition.input_label),)
    if token is None or not signature.takes_context:
        return given
    return (*given, ActivityContext(call, token, on_heartbeat))


def _completed(definition: ActivityDefinition, returned: Any, limit: int | None) -> Outcome:
    if isinstance(returned, _NOT_A_RESULT):
        raise _no_result(definition, returned)
    return ActivityCompleted(codec.encode(returned, definition.result_label, limit))


def _no_result(definition: ActivityDefinition, returned: Any) -> TypeError:
    """The error for a function whose call only made an object that is still to be run."""
    kind: str = type(returned).__name__
    if isinstance(returned, types.CoroutineType):
        returned.close()
        mend = "declare it with `async def`, or run the coroutine and return its result"
    else:
        mend = "return a list; only orchestrators are generators"
    return TypeError(f"activity {definition.name!r} returned a {kind}, not a result: {mend}")


def _token_for(definition: ActivityDefinition) -> CancelToken | None:
    """A token where the function could see it; a signature that is wrong fails the attempt."""
    try:
        return CancelToken() if definition.signature.takes_context else None
    except Exception:
        return None


def _is_cancelled_by_host(error: BaseException) -> bool:
    """Whether the task that runs the attempt was cancelled, rather than the user's own tasks."""
    import asyncio

    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _without_our_frame(error: BaseException) -> BaseException:
    """Begin the traceback in the user's function, where the error has come that far."""
    trace = error.__traceback__
    return error if trace is None or trace.tb_next is None else error.with_traceback(trace.tb_next)
