"""The classic protocol: an answer's list of actions, run over the history of its execution.

`replay_answer` is a pure function of (history, answer), and does what the extension's
``OutOfProcOrchestrationShim`` and ``DurableOrchestrationContext`` do: the list runs from its top
when ExecutionStarted is replayed, each action is awaited before the next is looked at, and errors
are swallowed.
"""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from ostinato.testing.azure.answers import Action, Answer, BadAnswer
from ostinato.testing.azure.decisions import TurnResult
from ostinato.testing.azure.dotnet import json_text, time_of, time_text, utf16_size
from ostinato.testing.azure.events import Event, EventRaised, ExecutionStarted
from ostinato.testing.azure.framework import Replay
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import Functions
from ostinato.testing.azure.retries import RetryOptions
from ostinato.testing.azure.waiting import Awaited, Broken, Steps, run, when_all, when_any

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
"""The activity in which the extension makes the requests of ``CallHttp``."""


def replay_answer(
    history: Iterable[Event],
    answer: Answer | BadAnswer,
    functions: Functions,
    options: HubOptions,
) -> TurnResult:
    """Decide what a turn does.

    Args:
        history: All events of the execution, those of this turn last.
        answer: What the function gave for them, or why nothing can be made of it.
        functions: Which names exist.
        options: Limits and lengths of timers.

    Returns:
        What history does not hold yet.
    """
    return AnswerReplay(answer, functions, options).play(history)


class AnswerReplay:
    """One answer over a history that grows: as good as a whole replay at each turn.

    Args:
        answer: What the function gave, and gives again at each turn that is played here.
        functions: Which names exist.
        options: Limits and lengths of timers.
    """

    def __init__(
        self, answer: Answer | BadAnswer, functions: Functions, options: HubOptions
    ) -> None:
        self._shim = _Shim(answer, functions, options)
        self._replay = Replay(self._shim)

    def play(self, events: Iterable[Event]) -> TurnResult:
        """Go on with the events that history got since the last call.

        Returns:
            What history does not hold yet.
        """
        decisions = self._replay.play(events)
        return TurnResult(decisions=decisions, custom_status=self._shim.custom_status)


class _Shim:
    """The orchestration that the framework sees in place of the app's."""

    def __init__(
        self, answer: Answer | BadAnswer, functions: Functions, options: HubOptions
    ) -> None:
        self.custom_status: str | None = None
        self._answer = answer
        self._functions = functions
        self._options = options
        self._replay: Replay | None = None
        self._started: ExecutionStarted | None = None
        self._waiters: defaultdict[str, list[Awaited]] = defaultdict(list)
        self._unread: defaultdict[str, deque[EventRaised]] = defaultdict(deque)
        self._actions = 0
        self._guids = 0
        self._long_timer = False

    def begin(self, replay: Replay, started: ExecutionStarted) -> None:
        """Run the list of actions until one is awaited that is not done."""
        self._replay = replay
        self._started = started
        if isinstance(self._answer, BadAnswer):
            self._fail(str(self._answer))
            return
        status = self._answer.custom_status
        if status is not None:
            text = json_text(status)
            size = utf16_size(text)
            if size > self._options.maximum_custom_status:
                self._fail(
                    "The UTF-16 size of the JSON-serialized payload must not exceed"
                    f" {self._options.maximum_custom_status // 1024} KB."
                    f" The current payload size is {size // 1024} KB."
                )
                return
            self.custom_status = text
        run(self._whole(self._answer))

    def event_raised(self, event: EventRaised) -> None:
        """Give an event to the newest waiter for its name, or keep it."""
        name = event.name.lower()
        waiters = self._waiters[name]
        if waiters:
            waiters.pop().complete()
        else:
            self._unread[name].append(event)

    def _fail(self, reason: str, details: str | None = None) -> None:
        replay, started = self._at_work()
        replay.fail(f"Orchestrator function '{started.name}' failed: {reason}", details)

    def _at_work(self) -> tuple[Replay, ExecutionStarted]:
        assert self._replay is not None and self._started is not None, "begin comes first"
        return self._replay, self._started

    def _whole(self, answer: Answer) -> Steps:
        replay, started = self._at_work()
        if answer.one_by_one and len(answer.actions) != 1:
            self._fail(
                "With OOProc schema ReplayPatchV1, expected actions array to be of length 1 in"
                f" outer layer but got size: {len(answer.actions)}"
            )
            return
        for actions in answer.actions:
            if answer.one_by_one:
                for action in actions:
                    yield self._invoke(action)
            elif actions:
                yield when_any([self._invoke(action) for action in actions])
        if answer.error:
            if not answer.raised:
                self._fail("Object reference not set to an instance of an object.")
                return
            replay.fail(
                f"Orchestrator function '{started.name}' failed: {answer.error}",
                f"Message: {answer.error}, StackTrace: ",
                answer.failure,
            )
        elif answer.done:
            replay.succeed(json_text(answer.output))

    def _invoke(self, action: Action) -> Awaited:
        """Do what an action asks; what goes wrong fails its task and nothing else."""
        kind = action.get("actionType")
        try:
            do = _KINDS.get(kind) if isinstance(kind, int) else _NAMED.get(str(kind).lower())
            if do is None:
                raise Broken(f"unknown action {kind!r}")
            return do(self, action)
        except (Broken, KeyError, TypeError, ValueError):
            return Awaited(failed=True)

    def _count(self) -> None:
        if self._actions >= self._options.maximum_actions:
            raise Broken("the maximum of orchestration actions is reached")
        self._actions += 1

    def _call_activity(self, action: Action) -> Awaited:
        replay, _ = self._at_work()
        name = self._known(action, self._functions.has_activity)
        self._count()
        return replay.schedule_task(name, _input(action))

    def _call_activity_with_retry(self, action: Action) -> Awaited:
        replay, _ = self._at_work()
        name = self._known(action, self._functions.has_activity)
        self._count()
        return self._retried(action, lambda: replay.schedule_task(name, _input(action)))

    def _call_sub_orchestrator(self, action: Action) -> Awaited:
        return self._child(action)()

    def _call_sub_orchestrator_with_retry(self, action: Action) -> Awaited:
        return self._retried(action, self._child(action))

    def _child(self, action: Action) -> Callable[[], Awaited]:
        replay, started = self._at_work()
        name = self._known(action, self._functions.has_orchestration)
        instance_id = action.get("instanceId")
        relatives = {started.instance_id.lower()}
        if started.parent is not None:
            relatives.add(started.parent.instance_id.lower())
        if instance_id and (instance_id.lower() in relatives or instance_id.startswith("@")):
            raise Broken("a child must not have its parent's id, nor an entity's")
        if action.get("version") is not None:
            raise Broken("recorded: a child with a version never starts")
        self._count()
        text = json_text(action.get("input"))
        version = self._options.default_version
        return lambda: replay.create_sub_orchestration(name, instance_id, text, version)

    def _known(self, action: Action, has: Callable[[str], bool]) -> str:
        name = action.get("functionName")
        if not isinstance(name, str) or not has(name):
            raise Broken(f"The function '{name}' doesn't exist")
        return name

    def _retried(self, action: Action, call: Callable[[], Awaited]) -> Awaited:
        options = RetryOptions.of(action["retryOptions"])
        return run(self._attempts(options, call))

    def _attempts(self, options: RetryOptions, call: Callable[[], Awaited]) -> Steps:
        replay, _ = self._at_work()
        first_attempt = replay.now
        for attempt in range(1, options.max_attempts + 1):
            task = call()
            yield task
            if not task.failed:
                return
            delay = options.delay(attempt, replay.now - first_attempt)
            if delay is None:
                break
            # Recorded: after the last attempt there is a timer too, which is due at once.
            last = attempt == options.max_attempts
            yield replay.create_timer(replay.now + (timedelta(0) if last else delay))
        raise Broken("all attempts failed")

    def _continue_as_new(self, action: Action) -> Awaited:
        replay, _ = self._at_work()
        replay.continue_as_new(json_text(action.get("input")))
        return Awaited(done=True)

    def _create_timer(self, action: Action) -> Awaited:
        return run(self._timer(time_of(action["fireAt"]), action.get("isCanceled") is True))

    def _timer(self, due: datetime, cancelled: bool) -> Steps:
        """A timer, in parts when it is long by the replay's clock, which may stay behind.

        While one that is long is pending, every other takes the long way, on which one that is
        due needs no part at all.
        """
        replay, _ = self._at_work()
        part = due
        if due - replay.now > self._options.maximum_short_timer:
            self._long_timer = True
            part = replay.now + self._options.long_timer_interval
        if not self._long_timer:
            self._count()
            timer = replay.create_timer(due, cancelled=cancelled)
            yield timer
            if timer.failed:
                raise Broken("the timer was cancelled")
        else:
            while replay.now < due:
                self._count()
                timer = replay.create_timer(part, cancelled=cancelled)
                yield timer
                if timer.failed:
                    raise Broken("the timer was cancelled")
                left = due - replay.now
                part = replay.now + min(left, self._options.long_timer_interval)
        self._long_timer = False

    def _wait_for_event(self, action: Action) -> Awaited:
        name = str(action["externalEventName"]).lower()
        unread = self._unread[name]
        if unread:
            unread.popleft()
            return Awaited(done=True)
        waiter = Awaited()
        self._waiters[name].append(waiter)
        return waiter

    def _call_http(self, action: Action) -> Awaited:
        replay, _ = self._at_work()
        self._count()
        return replay.schedule_task(HTTP_ACTIVITY, json_text(action["httpRequest"]))

    def _call_entity(self, action: Action) -> Awaited:
        guid = self._operation(action, signal=False)
        waiter = Awaited()
        self._waiters[guid].append(waiter)
        return waiter

    def _signal_entity(self, action: Action) -> Awaited:
        self._operation(action, signal=True)
        return Awaited(done=True)

    def _operation(self, action: Action, *, signal: bool) -> str:
        """Send an operation to an entity; return the name under which its result comes back."""
        replay, started = self._at_work()
        instance_id = action["instanceId"]
        if not self._functions.has_entity(instance_id[1:].partition("@")[0]):
            raise Broken(f"no entity function for {instance_id}")
        fire_at = time_of(action["fireAt"]) if "fireAt" in action else None
        guid = self._new_guid()
        message: dict[str, Any] = {"op": action["operation"]}
        if signal:
            message["signal"] = True
        if action.get("input") is not None:
            message["input"] = json_text(action["input"])
        message["id"] = guid
        message["parent"] = started.instance_id
        message["parentExecution"] = started.execution_id
        name = "op"
        if fire_at is not None:
            message["due"] = time_text(fire_at)
            name = f"op@{time_text(fire_at)}"
        replay.send_event(instance_id, name, json_text(message), fire_at)
        return guid

    def _new_guid(self) -> str:
        """The next of the execution's ids, the same at each replay."""
        _, started = self._at_work()
        self._guids += 1
        name = f"{started.instance_id}_{time_text(started.timestamp)}_{self._guids}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def _when_any(self, action: Action) -> Awaited:
        return when_any([self._invoke(child) for child in action.get("compoundActions") or ()])

    def _when_all(self, action: Action) -> Awaited:
        return when_all([self._invoke(child) for child in action.get("compoundActions") or ()])


def _input(action: Action) -> str:
    """An activity's input: a text goes as it is, anything else as JSON."""
    value = action.get("input")
    return value if isinstance(value, str) else json_text(value)


_KINDS: dict[int, Callable[[_Shim, Action], Awaited]] = {
    0: _Shim._call_activity,
    1: _Shim._call_activity_with_retry,
    2: _Shim._call_sub_orchestrator,
    3: _Shim._call_sub_orchestrator_with_retry,
    4: _Shim._continue_as_new,
    5: _Shim._create_timer,
    6: _Shim._wait_for_event,
    7: _Shim._call_entity,
    8: _Shim._call_http,
    9: _Shim._signal_entity,
    10: _Shim._signal_entity,
    11: _Shim._when_any,
    12: _Shim._when_all,
}

_NAMED = {
    name.lower(): _KINDS[number]
    for number, name in enumerate(
        (
            "CallActivity",
            "CallActivityWithRetry",
            "CallSubOrchestrator",
            "CallSubOrchestratorWithRetry",
            "ContinueAsNew",
            "CreateTimer",
            "WaitForExternalEvent",
            "CallEntity",
            "CallHttp",
            "SignalEntity",
            "ScheduledSignalEntity",
            "WhenAny",
            "WhenAll",
        )
    )
}
"""Kinds may be named as well as numbered."""
