"""Calling activities: scheduling, failures, timeouts."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import ostinato as ost

from . import world
from .app import (
    InsufficientFunds,
    add_one,
    add_one_later,
    app,
    case,
    echo,
    greet,
    held,
    mendable,
    note,
    refuse,
)
from .model import Ended, Flow, Noted, Now, Open, RaiseEvent, completes, fails


@case(
    "activities run one after another, each with the result of the one before",
    completes(4, scheduled=("0 add_one", "1 add_one", "2 add_one")),
    input=1,
)
@app.orchestration
def chain(ctx: ost.OrchestrationContext, number: int) -> Flow:
    for _ in range(3):
        number = yield ctx.call_activity(add_one, number)
    return number


@case("activities are called by name, their input by position or keyword", completes([2, 3, 4]))
@app.orchestration
def by_name(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity("add_one", 1)
    second = yield ctx.call_activity("add_one", input_=2)
    third = yield ctx.call_activity(add_one, input=3)
    return [first, second, third]


@case("an activity without parameters needs no input", completes("hello"))
@app.orchestration
def without_input(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(greet))


@case("an activity may be asynchronous", completes(2))
@app.orchestration
def asynchronous(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(add_one_later, 1))


@case(
    "an activity that is created and never yielded runs",
    completes(2, scheduled=("0 note", "1 add_one"), ran=("unawaited",)),
)
@app.orchestration
def never_yielded(ctx: ost.OrchestrationContext) -> Flow:
    ctx.call_activity(note, "unawaited")
    return (yield ctx.call_activity(add_one, 1))


@case(
    "an activity created in the last turn runs, and its result is dropped",
    completes("over", scheduled=("0 add_one", "1 note"), ran=("last",)),
)
@app.orchestration
def created_last(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    ctx.call_activity(note, "last")
    return "over"


@case(
    "an activity that was started runs on when its instance ends, and its result is dropped",
    completes("ended", ran=("gate",)),
    Now(Noted("gate")),
    Now(RaiseEvent("end")),
    Now(Ended()),
    Now(Open("gate")),
)
@app.orchestration
def ends_before_its_activity(ctx: ost.OrchestrationContext) -> Flow:
    ctx.call_activity(held, "gate")
    yield ctx.wait_for_external_event("end")
    return "ended"


@case(
    "a finished task yielded again gives its result again",
    completes([2, 2], scheduled=("0 add_one",)),
)
@app.orchestration
def yielded_twice(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.call_activity(add_one, 1)
    first = yield task
    second = yield task
    return [first, second]


@case("a failed task yielded again raises again", completes(["no", "no"], scheduled=("0 refuse",)))
@app.orchestration
def failed_twice(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.call_activity(refuse, "no")
    messages = []
    for _ in range(2):
        try:
            yield task
        except ost.TaskFailedError as error:
            messages.append(error.failure.message)
    return messages


@case(
    "a task tells its state and result without being yielded again",
    completes([False, None, True, False, 2]),
)
@app.orchestration
def states(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.call_activity(add_one, 1)
    before = [task.is_completed, task.result]
    yield task
    return [*before, task.is_completed, task.is_faulted, task.result]


@case("the result of a failed task is its exception", completes([True, True, "no"]))
@app.orchestration
def faulted(ctx: ost.OrchestrationContext) -> Flow:
    task = ctx.call_activity(refuse, "no")
    yield ctx.task_any([task])
    assert isinstance(task.result, ost.TaskFailedError)
    return [task.is_completed, task.is_faulted, task.result.failure.message]


# Failures


@case(
    "a failure that nobody catches fails the instance with its type and message",
    fails("ValueError", "no", cause_type="ValueError"),
)
@app.orchestration
def uncaught(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(refuse, "no")


@case(
    "a failure tells type, message, task and attempt, and where it came from",
    completes(["ValueError", "no", "refuse", 1, True]),
)
@app.orchestration
def described(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(refuse, "no")
    except ost.TaskFailedError as error:
        failure = error.failure
        line = "raise ValueError(message)" in failure.traceback
        return [failure.type, failure.message, failure.task, failure.attempt, line]


@app.activity(raises=[InsufficientFunds])
def withdraw(amount: int) -> None:
    raise InsufficientFunds(amount, account="ada")


@case(
    "a declared exception is caught as itself, though its constructor needs arguments",
    completes("ada lacks 7"),
)
@app.orchestration
def declared(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(withdraw, 7)
    except InsufficientFunds as error:
        assert isinstance(error, ost.TaskFailedError)
        return error.failure.message


class Secret(KeyError):
    """Not declared to the application, but a kind of LookupError."""


@app.activity
def raise_error(kind: str) -> None:
    match kind:
        case "OSError":
            raise FileNotFoundError(2, "No such file", "a.txt")
        case "KeyError":
            raise KeyError("lost")
        case "StopIteration":
            raise StopIteration("enough")
        case "Secret":
            raise Secret("hidden")
        case "UnicodeDecodeError":
            b"\xff".decode()
        case "ExceptionGroup":
            raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
        case "cause":
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise RuntimeError("outer") from error
        case _:
            raise AssertionError(kind)


@case("an OSError keeps its errno and text", completes([2, "No such file", "FileNotFoundError"]))
@app.orchestration
def os_error(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(raise_error, "OSError")
    except FileNotFoundError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [error.errno, error.strerror, error.failure.type]


@case("a KeyError keeps its argument", completes([["lost"], "'lost'"]))
@app.orchestration
def key_error(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(raise_error, "KeyError")
    except KeyError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [list(error.args), error.failure.message]


@case("a StopIteration is raised as a failed task only", completes(["StopIteration", False]))
@app.orchestration
def stop_iteration(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(raise_error, "StopIteration")
    except ost.TaskFailedError as error:
        return [error.failure.type, isinstance(error, StopIteration)]


@case("an undeclared exception is caught as the builtin it derives from", completes("Secret"))
@app.orchestration
def undeclared(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(raise_error, "Secret")
    except LookupError as error:
        assert isinstance(error, ost.TaskFailedError)
        assert not isinstance(error, Secret)
        return error.failure.type


@case(
    "exceptions with a layout of their own keep type and message",
    completes([["UnicodeDecodeError", True], ["ExceptionGroup", True]]),
)
@app.orchestration
def odd_layouts(ctx: ost.OrchestrationContext) -> Flow:
    found = []
    for kind in ("UnicodeDecodeError", "ExceptionGroup"):
        try:
            yield ctx.call_activity(raise_error, kind)
        except ost.TaskFailedError as error:
            message = error.failure.message
            found.append([error.failure.type, "invalid start" in message or "several" in message])
    return found


@case("the cause of an exception survives", completes(["RuntimeError", "KeyError", "'inner'"]))
@app.orchestration
def caused(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(raise_error, "cause")
    except RuntimeError as error:
        assert isinstance(error, ost.TaskFailedError)
        cause = error.failure.cause
        assert cause is not None
        return [error.failure.type, cause.type, cause.message]


@case("a failure caught and raised again keeps its type", fails("ValueError", "no"))
@app.orchestration
def raised_again(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(refuse, "no")
    except ValueError:
        raise


@case(
    "an exception raised from a failure fails the instance as itself, the failure as its cause",
    fails("RuntimeError", "gave up", cause_type="ValueError"),
)
@app.orchestration
def raised_from(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(refuse, "no")
    except ValueError as error:
        raise RuntimeError("gave up") from error


# The activity's context


@app.activity
def identify(value: Any, context: ost.ActivityContext) -> list[Any]:
    return [context.instance_id, context.task_id, context.attempt, context.idempotency_key]


@app.activity
def identify_itself(context: ost.ActivityContext) -> int:
    return context.task_id


@case("an activity learns who calls it", completes([True, 0, 1, 1]))
@app.orchestration
def identified(ctx: ost.OrchestrationContext) -> Flow:
    instance_id, task_id, attempt, _ = yield ctx.call_activity(identify, None)
    lonely = yield ctx.call_activity(identify_itself)
    return [instance_id == ctx.instance_id, task_id, attempt, lonely]


@case("two calls have two idempotency keys", completes(True))
@app.orchestration
def keys_differ(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_activity(identify, None)
    second = yield ctx.call_activity(identify, None)
    return first[3] != second[3]


@app.activity
def count_key(context: ost.ActivityContext) -> int:
    runs = world.note(context.idempotency_key.replace("/", "-"))
    if context.attempt < 3:
        raise ConnectionError("again")
    return runs


@case("the idempotency key is the same for every attempt", completes(3))
@app.orchestration
def key_stays(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_activity(count_key, retry=ost.RetryPolicy(3, 1)))


# Timeouts: of real seconds, for activities run in real time


@app.activity(timeout=0.05)
def too_slow(context: ost.ActivityContext) -> None:
    context.wait_cancelled(world.PATIENCE)


@app.activity
def slow_at_first(context: ost.ActivityContext) -> int:
    if context.attempt == 1:
        context.wait_cancelled(world.PATIENCE)
    return context.attempt


@app.activity
async def too_slow_later() -> None:
    await asyncio.sleep(world.PATIENCE)


@case(
    "an activity that takes too long raises TimeoutError", completes(["TimeoutError", "too_slow"])
)
@app.orchestration
def timed_out(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(too_slow)
    except TimeoutError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [error.failure.type, error.failure.task]


@case("an asynchronous activity that takes too long raises TimeoutError", fails("TimeoutError"))
@app.orchestration
def timed_out_later(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(too_slow_later, timeout=timedelta(milliseconds=50))


@case("a timeout bounds one attempt, and the next has its own", completes(2, delays=(1.0,)))
@app.orchestration
def timed_out_once(ctx: ost.OrchestrationContext) -> Flow:
    retry = ost.RetryPolicy(2, 1)
    return (yield ctx.call_activity(slow_at_first, retry=retry, timeout=0.05))


@app.activity
def raise_timeout() -> None:
    raise TimeoutError("the service did not answer")


@case(
    "an activity's own TimeoutError is no other than any",
    fails("TimeoutError", "the service did not answer"),
)
@app.orchestration
def own_timeout(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(raise_timeout)


# What is no task


@case("a yield of what is no task fails the instance", fails("TypeError", re.compile(r"\bint\b|5")))
@app.orchestration
def yields_a_number(ctx: ost.OrchestrationContext) -> Flow:
    yield 5


@case(
    "a yield of a list of tasks fails the instance and names the mend",
    fails("TypeError", re.compile("task_all")),
)
@app.orchestration
def yields_a_list(ctx: ost.OrchestrationContext) -> Flow:
    yield [ctx.call_activity(add_one, 1)]


@case("what is no task cannot be combined", completes(["TypeError", "TypeError"]))
@app.orchestration
def combines_numbers(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(greet)
    found = []
    for combine in (ctx.task_all, ctx.task_any):
        try:
            combine([5])  # type: ignore[arg-type]  # the mistake under test
        except TypeError as error:
            found.append(type(error).__name__)
    return found


@case(
    "an activity is run once however often its orchestrator is replayed",
    completes([1, 1, 1], ran={"a": 1, "b": 1, "c": 1}),
)
@app.orchestration
def once_each(ctx: ost.OrchestrationContext) -> Flow:
    counts = []
    for key in "abc":
        counts.append((yield ctx.call_activity(note, key)))
    return counts


@app.orchestration
def fan_out(ctx: ost.OrchestrationContext, runs: int) -> Flow:
    return (yield ctx.task_all([ctx.call_activity(add_one, number) for number in range(runs)]))


for runs in (1, 2, 5, 120):
    expected = completes(list(range(1, runs + 1)))
    case.add(f"a fan-out of {runs} gives its results in order", fan_out, expected, input=runs)


@case(
    "an unmended activity is asked for again only when it is called again",
    fails("RuntimeError", "gate is broken", ran=("gate",)),
)
@app.orchestration
def not_retried(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(mendable, "gate")


@case("what an activity gets is a copy", completes([[1], [1, 2]]))
@app.orchestration
def copies(ctx: ost.OrchestrationContext) -> Flow:
    numbers = [1]
    task = ctx.call_activity(echo, numbers)
    numbers.append(2)
    return [(yield task), numbers]
