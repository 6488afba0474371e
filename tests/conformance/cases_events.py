"""External events: kept from the beginning, first in first out, newest waiter first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import ostinato as ost

from .app import add_one, app, case
from .model import (
    Advance,
    Check,
    Flow,
    Now,
    RaiseEvent,
    Refused,
    Resume,
    Suspend,
    completes,
    fails,
    stays,
)

RUNNING = ost.RuntimeStatus.RUNNING


@case(
    "an event wakes its waiter and brings its data",
    completes({"by": "ada"}),
    RaiseEvent("approve", {"by": "ada"}),
)
@case("an event without data brings None", completes(None), RaiseEvent("approve"))
@app.orchestration
def approval(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.wait_for_external_event("approve"))


@case(
    "an event that comes before it is awaited is kept",
    completes("early"),
    RaiseEvent("data", "early"),
    RaiseEvent("go"),
)
@app.orchestration
def early(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    return (yield ctx.wait_for_external_event("data"))


@case(
    "an event that comes before the first turn is kept",
    completes([1, 2]),
    Now(RaiseEvent("data", 1)),
    Now(RaiseEvent("data", 2)),
    start_at=timedelta(hours=1),
)
@app.orchestration
def two_events(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.wait_for_external_event("data")
    second = yield ctx.wait_for_external_event("data")
    return [first, second]


@case(
    "events of one name are taken first in first out, each name for itself",
    completes([1, 2, 3, 10]),
    RaiseEvent("a", 1),
    RaiseEvent("b", 10),
    RaiseEvent("a", 2),
    RaiseEvent("a", 3),
    RaiseEvent("go"),
)
@app.orchestration
def first_in_first_out(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    taken = []
    for name in "aaab":
        taken.append((yield ctx.wait_for_external_event(name)))
    return taken


@case(
    "waiters created together take kept events in order",
    completes([1, 2]),
    RaiseEvent("a", 1),
    RaiseEvent("a", 2),
    RaiseEvent("go"),
)
@app.orchestration
def kept_for_two(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    waits = [ctx.wait_for_external_event("a"), ctx.wait_for_external_event("a")]
    return (yield ctx.task_all(waits))


@case(
    "the newest waiter takes the next event",
    completes(["second", "first"]),
    RaiseEvent("a", "first"),
    RaiseEvent("a", "second"),
)
@app.orchestration
def newest_first(ctx: ost.OrchestrationContext) -> Flow:
    older = ctx.wait_for_external_event("a")
    newer = ctx.wait_for_external_event("a")
    return (yield ctx.task_all([older, newer]))


@case(
    "a waiter that lost a race still waits, behind newer ones",
    completes(["first", "second"]),
    RaiseEvent("other"),
    RaiseEvent("a", "first"),
    RaiseEvent("a", "second"),
)
@app.orchestration
def behind_newer(ctx: ost.OrchestrationContext) -> Flow:
    older = ctx.wait_for_external_event("a")
    yield ctx.task_any([older, ctx.wait_for_external_event("other")])
    newer = yield ctx.wait_for_external_event("a")
    return [newer, (yield older)]


@case(
    "the orchestrator runs to its next wait before the next event is applied",
    completes([True, "B"]),
    Suspend(),
    RaiseEvent("a", "A"),
    RaiseEvent("b", "B"),
    Resume(),
)
@app.orchestration
def one_by_one(ctx: ost.OrchestrationContext) -> Flow:
    older = ctx.wait_for_external_event("b")
    winner = yield ctx.task_any([older, ctx.wait_for_external_event("a")])
    assert winner is not older
    newer = yield ctx.wait_for_external_event("b")
    return [not older.is_completed, newer]


@case(
    "event names tell upper from lower case",
    completes("right"),
    RaiseEvent("Approve", "wrong"),
    Check(stays(RUNNING)),
    RaiseEvent("approve", "right"),
)
@app.orchestration
def case_sensitive(ctx: ost.OrchestrationContext) -> Flow:
    return (yield ctx.wait_for_external_event("approve"))


@case(
    "events that nobody awaits do no harm",
    completes(2),
    RaiseEvent("unwanted", [1]),
    RaiseEvent("go"),
)
@app.orchestration
def unwanted(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    return (yield ctx.call_activity(add_one, 1))


@case(
    "waits take no task ids",
    completes(2, scheduled=("0 add_one",)),
    RaiseEvent("a"),
)
@app.orchestration
def no_ids(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("a")
    return (yield ctx.call_activity(add_one, 1))


@case(
    "a hundred events arrive in order",
    completes(list(range(100))),
    *(Now(RaiseEvent("n", number)) for number in range(100)),
)
@app.orchestration
def hundred(ctx: ost.OrchestrationContext) -> Flow:
    taken = []
    for _ in range(100):
        taken.append((yield ctx.wait_for_external_event("n")))
    return taken


# Event ids


@case(
    "an event id is taken once, whether or not the event has been awaited",
    completes(["one", "two", "three"]),
    RaiseEvent("a", "one", "id-1"),
    RaiseEvent("a", "again", "id-1"),
    RaiseEvent("a", "two", "id-2"),
    RaiseEvent("a", "again", "id-2"),
    RaiseEvent("a", "three"),
)
@app.orchestration
def ids_once(ctx: ost.OrchestrationContext) -> Flow:
    taken = []
    for _ in range(3):
        taken.append((yield ctx.wait_for_external_event("a")))
    return taken


@case(
    "events without an id are all taken, however alike",
    completes(["same", "same", "same"]),
    RaiseEvent("a", "same"),
    RaiseEvent("a", "same"),
    RaiseEvent("a", "same"),
)
@app.orchestration
def no_ids_all_taken(ctx: ost.OrchestrationContext) -> Flow:
    return (yield from ids_once(ctx))


# Timeouts and cancelling


@case("a wait that times out raises TimeoutError", completes("TimeoutError", delays=(60.0,)))
@case(
    "a wait that does not time out gives the data",
    completes("data", delays=(60.0,)),
    RaiseEvent("a", "data"),
    Check(completes("data")),
)
@app.orchestration
def with_timeout(ctx: ost.OrchestrationContext) -> Flow:
    try:
        return (yield ctx.wait_for_external_event("a", timeout=timedelta(minutes=1)))
    except TimeoutError as error:
        assert isinstance(error, ost.TaskFailedError)
        return error.failure.type


@case(
    "a timeout may be given in seconds; uncaught it fails the instance",
    fails("TimeoutError", re.compile("'a'")),
)
@app.orchestration
def timeout_in_seconds(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("a", timeout=30)


@case(
    "a timed-out waiter is withdrawn: the event that comes too late is for the next",
    completes("late"),
    Advance(61),
    RaiseEvent("a", "late"),
)
@app.orchestration
def withdrawn(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.wait_for_external_event("a", timeout=timedelta(minutes=1))
    except TimeoutError:
        return (yield ctx.wait_for_external_event("a"))


@case(
    "a cancelled waiter is withdrawn: the next event is for the one before it",
    completes(["data", True]),
    RaiseEvent("a", "data"),
)
@app.orchestration
def cancelled_waiter(ctx: ost.OrchestrationContext) -> Flow:
    older = ctx.wait_for_external_event("a")
    newer = ctx.wait_for_external_event("a")
    newer.cancel()
    return [(yield older), newer.is_cancelled]


@case("awaiting a cancelled waiter raises TaskCancelledError", completes("cancelled"))
@app.orchestration
def awaits_cancelled_waiter(ctx: ost.OrchestrationContext) -> Flow:
    waiter = ctx.wait_for_external_event("a", timeout=timedelta(hours=1))
    waiter.cancel()
    try:
        yield waiter
    except ost.TaskCancelledError:
        return "cancelled"


@case(
    "a wait with a timeout leaves no timer behind when the event comes",
    completes(["first", "second"]),
    RaiseEvent("a", "first"),
    Advance(120),
    Check(stays(RUNNING)),
    RaiseEvent("a", "second"),
)
@app.orchestration
def no_timer_left(ctx: ost.OrchestrationContext) -> Flow:
    first = yield ctx.wait_for_external_event("a", timeout=timedelta(minutes=1))
    return [first, (yield ctx.wait_for_external_event("a"))]


@case(
    "a wait with a timeout is satisfied by an event already there",
    completes("there"),
    RaiseEvent("a", "there"),
    RaiseEvent("go"),
)
@app.orchestration
def already_there(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    return (yield ctx.wait_for_external_event("a", timeout=timedelta(minutes=1)))


# Types


@dataclass
class Decision:
    approved: bool
    by: str = "nobody"


@case(
    "the data is decoded as the type expected",
    completes([True, "ada"]),
    RaiseEvent("d", {"approved": True, "by": "ada"}),
)
@case(
    "data that does not fit the type expected is an error",
    fails("CodecError", re.compile("approved")),
    RaiseEvent("d", {"by": "ada"}),
)
@app.orchestration
def typed_event(ctx: ost.OrchestrationContext) -> Flow:
    decision = yield ctx.wait_for_external_event("d", Decision)
    assert isinstance(decision, Decision)
    return [decision.approved, decision.by]


# What the client refuses


@case(
    "an event for a finished or unknown instance is refused, as is one that cannot be JSON",
    completes("data"),
    Refused(RaiseEvent("a", float("nan")), ost.CodecError),
    Refused(RaiseEvent("a", object()), ost.CodecError),
    Refused(RaiseEvent("a", 1, to="{id}-unknown"), ost.InstanceNotFoundError),
    RaiseEvent("approve", "data"),
    Refused(RaiseEvent("a", 1), ost.InstanceFinishedError),
)
@app.orchestration
def refuses_events(ctx: ost.OrchestrationContext) -> Flow:
    return (yield from approval(ctx))
