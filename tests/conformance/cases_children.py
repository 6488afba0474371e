"""Sub-orchestrations and detached instances."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ostinato as ost

from .app import InsufficientFunds, add_one, app, case, note, refuse
from .cases_activities import withdraw
from .model import (
    Advance,
    Check,
    Flow,
    RaiseEvent,
    Start,
    Terminate,
    completes,
    fails,
    stays,
    terminated,
)

RUNNING = ost.RuntimeStatus.RUNNING
PARENT_ENDED = terminated("parent ended")


@app.orchestration
def doubled(ctx: ost.OrchestrationContext, number: int) -> Flow:
    yield ctx.call_activity(add_one, number)
    return 2 * number


@app.orchestration
def waiting_child(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.wait_for_external_event("go"))


@app.orchestration
def refusing_child(ctx: ost.OrchestrationContext, message: str) -> Flow:
    yield ctx.call_activity(refuse, message)


@case(
    "a child gives its result, called by function or name",
    completes([4, 6], scheduled=("0 child doubled", "1 child doubled")),
)
@app.orchestration
def children(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.call_sub_orchestrator(doubled, 2)
    second = yield ctx.call_sub_orchestrator("doubled", input_=3)
    return [first, second]


@app.orchestration
def identities(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()
    return [ctx.instance_id, ctx.parent_instance_id]


@case("a child knows its parent, and the first instance has none", completes([True, True, True]))
@app.orchestration
def identified_child(ctx: ost.OrchestrationContext) -> Flow:
    child, parent = yield ctx.call_sub_orchestrator(identities)
    return [not ctx.parent_instance_id, parent == ctx.instance_id, child.endswith(":0")]


@case("a child takes the id it is given", completes([True, True]))
@app.orchestration
def named_child(ctx: ost.OrchestrationContext) -> Flow:
    wanted = f"{ctx.instance_id}-child"
    child, parent = yield ctx.call_sub_orchestrator(identities, None, wanted)
    return [child == wanted, parent == ctx.instance_id]


@case("children run side by side", completes([2 * number for number in range(10)]))
@app.orchestration
def many_children(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.task_all([ctx.call_sub_orchestrator(doubled, n) for n in range(10)]))


@dataclass
class Point:
    x: int
    y: int


@app.orchestration
def point(ctx: ost.OrchestrationContext) -> Generator[Any, Any, Point]:
    yield from ()
    return Point(1, 2)


@case("a child's output is decoded by its annotation", completes(3))
@app.orchestration
def typed_child(ctx: ost.OrchestrationContext) -> Flow:
    found = yield from ctx.call_sub_orchestrator(point)
    return found.x + found.y


# Failures


@case(
    "a child's failure raises in the parent as the original exception",
    completes(["ValueError", "no", "refusing_child"]),
)
@app.orchestration
def child_failure(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(refusing_child, "no")
    except ValueError as error:
        assert isinstance(error, ost.TaskFailedError)
        return [error.failure.type, error.failure.message, error.failure.task]


@app.orchestration
def parent_of_refusing(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_sub_orchestrator(refusing_child, "deep")


@case("an uncaught failure keeps its type through every level", fails("ValueError", "deep"))
@app.orchestration
def grandparent(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_sub_orchestrator(parent_of_refusing)


@app.orchestration
def withdrawing_child(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(withdraw, 5)


@case("a declared exception is caught as itself through a child", completes("ada lacks 5"))
@app.orchestration
def declared_through_child(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(withdrawing_child)
    except InsufficientFunds as error:
        assert isinstance(error, ost.TaskFailedError)
        return error.failure.message


@app.orchestration
def raising_child(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()
    raise LookupError("nothing there")


@case("an exception of the child's own is caught as itself", completes("nothing there"))
@app.orchestration
def childs_own_exception(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(raising_child)
    except LookupError as error:
        assert isinstance(error, ost.TaskFailedError)
        return error.failure.message


@case(
    "a terminated child fails its task with the reason",
    completes(
        ["SubOrchestrationError", "no longer wanted"],
        others={"{id}-child": terminated("no longer wanted")},
    ),
    Terminate("no longer wanted", "{id}-child"),
)
@app.orchestration
def terminated_child(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(waiting_child, None, f"{ctx.instance_id}-child")
    except ost.TaskFailedError as error:
        return [error.failure.type, error.failure.message]


# Retries


@app.orchestration
def third_time(ctx: ost.OrchestrationContext, key: str) -> Flow:
    runs = yield ctx.call_activity(note, key)
    if runs < 3:
        raise ConnectionError(f"run {runs}")
    return [runs, ctx.instance_id.rpartition(":")[2]]


THREE_CHILDREN = (
    "0 child third_time",
    "1 timer",
    "2 child third_time",
    "3 timer",
    "4 child third_time",
)


@case(
    "a failed child is tried again by policy, each time as a new instance",
    completes([3, "4"], scheduled=THREE_CHILDREN, delays=(5.0, 10.0)),
)
@app.orchestration
def retried_child(ctx: ost.OrchestrationContext) -> Flow:
    policy = ost.RetryPolicy(5, 5, 2)
    return (yield ctx.call_sub_orchestrator(third_time, "run", retry=policy))


@case("a child is tried again with retry options of 1.x", completes(3, delays=(5.0, 5.0)))
@app.orchestration
def retried_child_by_options(ctx: ost.OrchestrationContext) -> Flow:
    runs, _ = yield ctx.call_sub_orchestrator_with_retry(
        "third_time", ost.RetryOptions(5000, 3), "run"
    )
    return runs


@case("a child with an id of its own is tried again under that id", completes(3))
@app.orchestration
def retried_named_child(ctx: ost.OrchestrationContext) -> Flow:
    child = f"{ctx.instance_id}-child"
    policy = ost.RetryPolicy(3, 1)
    runs, _ = yield ctx.call_sub_orchestrator(third_time, "run", child, retry=policy)
    return runs


@case(
    "a child whose attempts are used up raises the last failure", fails("ConnectionError", "run 2")
)
@app.orchestration
def exhausted_child(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_sub_orchestrator(third_time, "run", retry=ost.RetryPolicy(2, 1))


# Ids in use


@case(
    "a child id in use by an unfinished instance fails the task, and leaves the other alone",
    completes("InstanceExistsError", others={"{id}-other": stays(RUNNING)}),
    Start("waiting_child"),
    RaiseEvent("go"),
)
@app.orchestration
def id_in_use(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    try:
        yield ctx.call_sub_orchestrator(doubled, 1, f"{ctx.instance_id}-other")
    except ost.TaskFailedError as error:
        return error.failure.type


@case(
    "of two children that are asked for at once under one id the second is refused",
    completes(["InstanceExistsError", "done"]),
    RaiseEvent("go", "done", to="{id}-child"),
)
@app.orchestration
def two_of_one_id(ctx: ost.OrchestrationContext) -> Flow:
    child = f"{ctx.instance_id}-child"
    first = ctx.call_sub_orchestrator(waiting_child, None, child)
    second = ctx.call_sub_orchestrator(waiting_child, None, child)
    try:
        yield second
    except ost.TaskFailedError as error:
        return [error.failure.type, (yield first)]


@case("a child may not have its parent's id", completes("InstanceExistsError"))
@app.orchestration
def parents_id(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_sub_orchestrator(doubled, 1, ctx.instance_id)
    except ost.TaskFailedError as error:
        return error.failure.type


@case(
    "a finished instance is replaced by a child of its id",
    completes([4, 6], others={"{id}-child": completes(6)}),
)
@app.orchestration
def finished_replaced(ctx: ost.OrchestrationContext) -> Flow:
    child = f"{ctx.instance_id}-child"
    first = yield ctx.call_sub_orchestrator(doubled, 2, child)
    second = yield ctx.call_sub_orchestrator(doubled, 3, child)
    return [first, second]


@case(
    "two children of one id at a time: the second fails",
    completes([4, "InstanceExistsError"]),
    Advance(10),
)
@app.orchestration
def one_id_twice(ctx: ost.OrchestrationContext) -> Flow:
    child = f"{ctx.instance_id}-child"
    first = ctx.call_sub_orchestrator(doubled_later, 2, child)
    second = ctx.call_sub_orchestrator(doubled_later, 3, child)
    yield ctx.task_any([second])
    return [(yield first), second.result.failure.type]


@app.orchestration
def doubled_later(ctx: ost.OrchestrationContext, number: int) -> Flow:
    yield ctx.create_timer(timedelta(seconds=10))
    return 2 * number


@case(
    "a child id that is not valid everywhere is an error at the call",
    completes(["InvalidInstanceIdError", 2], scheduled=("0 add_one",)),
)
@app.orchestration
def invalid_child_id(ctx: ost.OrchestrationContext) -> Flow:
    try:
        ctx.call_sub_orchestrator(doubled, 1, "no/slashes")
    except ost.InvalidInstanceIdError as error:
        return [type(error).__name__, (yield ctx.call_activity(add_one, 1))]


# The end of the parent


@case(
    "open children end with their parent when it completes",
    completes("over", others={"{id}-child": PARENT_ENDED}),
    RaiseEvent("go"),
)
@case(
    "open children end with their parent when it fails",
    fails("RuntimeError", "on request", others={"{id}-child": PARENT_ENDED}),
    RaiseEvent("go", "fail"),
)
@case(
    "open children end with their parent when it continues as new",
    completes("new", others={"{id}-child": PARENT_ENDED}),
    RaiseEvent("go", "continue"),
)
@case(
    "open children end with their parent when it is terminated",
    terminated("enough", others={"{id}-child": PARENT_ENDED}),
    Terminate("enough"),
)
@case(
    "without cascade the children of a terminated parent go on",
    terminated("enough", others={"{id}-child": completes("still here")}),
    Terminate("enough", cascade=False),
    RaiseEvent("go", "still here", to="{id}-child"),
)
@app.orchestration
def ends_before_child(ctx: ost.OrchestrationContext, state: str | None) -> Flow:
    if state == "new":
        return state
    ctx.call_sub_orchestrator(waiting_child, None, f"{ctx.instance_id}-child")
    how = yield ctx.wait_for_external_event("go")
    if how == "fail":
        raise RuntimeError("on request")
    if how == "continue":
        ctx.continue_as_new("new")
    return "over"


@app.orchestration
def middle(ctx: ost.OrchestrationContext, child: str) -> Flow:
    yield ctx.call_sub_orchestrator(waiting_child, None, child)


@case(
    "grandchildren end with their grandparent",
    completes("over", others={"{id}-middle": PARENT_ENDED, "{id}-child": PARENT_ENDED}),
    Check(stays(RUNNING), of="{id}-child"),
    RaiseEvent("go"),
)
@app.orchestration
def ends_before_grandchild(ctx: ost.OrchestrationContext) -> Flow:
    name = ctx.instance_id
    ctx.call_sub_orchestrator(middle, f"{name}-child", f"{name}-middle")
    yield ctx.wait_for_external_event("go")
    return "over"


@case(
    "a child that is created and never yielded runs",
    completes("over", ran=("child",)),
    RaiseEvent("go"),
)
@app.orchestration
def unawaited_child(ctx: ost.OrchestrationContext) -> Flow:
    ctx.call_sub_orchestrator(noting_child, "child")
    yield ctx.wait_for_external_event("go")
    return "over"


@app.orchestration
def noting_child(ctx: ost.OrchestrationContext, key: str) -> Flow:
    yield ctx.call_activity(note, key)
    return [key, ctx.parent_instance_id]


@app.orchestration
def generations(ctx: ost.OrchestrationContext, left: int) -> Flow:
    yield ctx.call_activity(add_one, left)
    if left:
        ctx.continue_as_new(left - 1)
    return "last generation"


@case(
    "a child that continues as new reports its last output to its parent",
    completes("last generation"),
)
@app.orchestration
def parent_of_generations(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_sub_orchestrator(generations, 3))


@case(
    "a finished child is not terminated afterwards",
    completes(4, others={"{id}-child": completes(4)}),
)
@app.orchestration
def child_ended_before(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.call_sub_orchestrator(doubled, 2, f"{ctx.instance_id}-child"))


# Detached instances


@case(
    "a detached instance belongs to nobody and outlives who started it",
    completes(True, scheduled=("0 start waiting_child",), others={"{id}-free": completes("alone")}),
    RaiseEvent("go", "alone", to="{id}-free"),
)
@app.orchestration
def starts_detached(ctx: ost.OrchestrationContext) -> Flow:
    wanted = f"{ctx.instance_id}-free"
    started = ctx.start_orchestration(waiting_child, None, wanted)
    yield from ()
    return started == wanted


@case(
    "a detached instance is started once, has no parent, and gets an id where none is given",
    completes(
        True, scheduled=("0 start noting_detached", "1 add_one", "2 add_one"), ran={"detached": 1}
    ),
)
@app.orchestration
def starts_once(ctx: ost.OrchestrationContext) -> Flow:
    started = ctx.start_orchestration("noting_detached", "detached")
    for number in range(2):
        yield ctx.call_activity(add_one, number)
    return started not in ("", ctx.instance_id)


@app.orchestration
def noting_detached(ctx: ost.OrchestrationContext, key: str) -> Flow:
    yield ctx.call_activity(note, key if not ctx.parent_instance_id else "has a parent")
