"""Durable timers and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import ostinato as ost

from .app import add_one, app, case
from .model import Advance, Check, Flow, RaiseEvent, completes, stays

RUNNING = ost.RuntimeStatus.RUNNING


@case("a timer fires after a timedelta and gives nothing", completes([None, True], delays=(90.0,)))
@app.orchestration
def after_timedelta(ctx: ost.OrchestrationContext) -> Flow:
    began = ctx.current_utc_datetime
    result = yield ctx.create_timer(timedelta(seconds=90))
    return [result, ctx.current_utc_datetime - began >= timedelta(seconds=90)]


@case("a timer fires at an aware datetime, in any zone", completes(True, delays=(7200.0,)))
@app.orchestration
def at_aware(ctx: ost.OrchestrationContext) -> Flow:
    from datetime import timezone

    due = ctx.current_utc_datetime + timedelta(hours=2)
    yield ctx.create_timer(due.astimezone(timezone(timedelta(hours=-5))))
    return ctx.current_utc_datetime >= due


@case("a naive datetime is in UTC", completes(True, delays=(60.0,)))
@app.orchestration
def at_naive(ctx: ost.OrchestrationContext) -> Flow:
    due = ctx.current_utc_datetime + timedelta(seconds=60)
    yield ctx.create_timer(due.replace(tzinfo=None))
    return ctx.current_utc_datetime >= due


@case(
    "timers that are past due fire at once, without time passing",
    completes("past"),
    Check(completes("past")),
)
@app.orchestration
def past_due(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.create_timer(ctx.current_utc_datetime - timedelta(days=1))
    yield ctx.create_timer(timedelta(seconds=-5))
    yield ctx.create_timer(timedelta(0))
    return "past"


@case(
    "a timer of 400 days fires after 400 days and not before",
    completes("done", delays=(400 * 86400.0,)),
    Advance(timedelta(days=399)),
    Check(stays(RUNNING)),
    Advance(timedelta(days=1)),
    Check(completes("done")),
)
@app.orchestration
def long_timer(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.create_timer(timedelta(days=400))
    return "done"


@case("timers fire in the order in which they are due", completes(["a", "b", "c"]), Advance(100))
@app.orchestration
def timer_order(ctx: ost.OrchestrationContext) -> Flow:
    names = {
        ctx.create_timer(timedelta(seconds=s)): name
        for name, s in (("c", 30), ("a", 10), ("b", 20))
    }
    waiting, order = list(names), []
    while waiting:
        winner = yield ctx.task_any(waiting)
        waiting.remove(winner)
        order.append(names[winner])
    return order


@case("timers due at the same instant fire in the order of their creation", completes([0, 1, 2]))
@app.orchestration
def timer_ties(ctx: ost.OrchestrationContext) -> Flow:
    due = ctx.current_utc_datetime + timedelta(seconds=10)
    timers = [ctx.create_timer(due) for _ in range(3)]
    waiting, order = list(timers), []
    while waiting:
        winner = yield ctx.task_any(waiting)
        waiting.remove(winner)
        order.append(timers.index(winner))
    return order


@case(
    "a cancelled timer holds nothing up",
    completes([True, "now"], scheduled=("0 timer", "1 add_one")),
    Check(completes([True, "now"])),
)
@app.orchestration
def cancelled_timer(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(hours=1))
    yield ctx.call_activity(add_one, 1)
    timer.cancel()
    return [timer.is_cancelled, "now"]


@case("awaiting a cancelled timer raises TaskCancelledError", completes("cancelled"))
@app.orchestration
def awaits_cancelled(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(hours=1))
    timer.cancel()
    try:
        yield timer
    except ost.TaskCancelledError:
        return "cancelled"


@case(
    "a cancelled timer does not fire later",
    completes([True, 5]),
    Advance(10),
    RaiseEvent("go", 5),
)
@app.orchestration
def cancelled_for_good(ctx: ost.OrchestrationContext) -> Flow:
    timer = ctx.create_timer(timedelta(seconds=5))
    timer.cancel()
    data = yield ctx.wait_for_external_event("go")
    return [timer.is_cancelled, data]


@case(
    "timers left open when the instance ends are dropped",
    completes("over"),
    Check(completes("over")),
    Advance(timedelta(days=2)),
    Check(completes("over")),
)
@app.orchestration
def open_timer(ctx: ost.OrchestrationContext) -> Flow:
    ctx.create_timer(timedelta(days=1))
    yield ctx.call_activity(add_one, 1)
    return "over"


@case("timers one after another add up", completes(True, delays=(10.0, 20.0, 30.0)))
@app.orchestration
def timers_add_up(ctx: ost.OrchestrationContext) -> Flow:
    began = ctx.current_utc_datetime
    for seconds in (10, 20, 30):
        yield ctx.create_timer(timedelta(seconds=seconds))
    return ctx.current_utc_datetime - began >= timedelta(seconds=60)


# The clock


@case("the clock is aware, in UTC", completes([True, "0:00:00"]))
@app.orchestration
def clock_is_utc(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    now: datetime = ctx.current_utc_datetime
    return [now.tzinfo is not None and now.astimezone(UTC) == now, str(now.utcoffset())]


@case("the clock stands still within a turn and never goes back", completes([True, True]))
@app.orchestration
def clock_stands(ctx: ost.OrchestrationContext) -> Flow:
    instants, still = [ctx.current_utc_datetime], True
    for number in range(3):
        yield ctx.call_activity(add_one, number)
        yield ctx.create_timer(timedelta(seconds=1))
        instants.append(ctx.current_utc_datetime)
        still = still and ctx.current_utc_datetime == instants[-1]
    return [still, instants == sorted(instants)]


@case("the clock shows the same on every replay", completes(True))
@app.orchestration
def clock_repeats(ctx: ost.OrchestrationContext) -> Flow:
    shown = [ctx.current_utc_datetime.isoformat()]
    yield ctx.create_timer(timedelta(seconds=30))
    shown.append(ctx.current_utc_datetime.isoformat())
    remembered = yield ctx.call_activity("echo", shown)
    yield ctx.create_timer(timedelta(seconds=30))
    return bool(remembered == shown)


@case(
    "after a timer the clock shows its due time or later, however many fire in one turn",
    completes([True, True]),
    Advance(0),
)
@app.orchestration
def clock_after_timers(ctx: ost.OrchestrationContext) -> Flow:
    began = ctx.current_utc_datetime
    timers = [ctx.create_timer(timedelta(seconds=seconds)) for seconds in (10, 20)]
    shown = []
    for timer in timers:
        yield timer
        shown.append(ctx.current_utc_datetime - began)
    return [shown[0] >= timedelta(seconds=10), shown[1] >= timedelta(seconds=20)]


@case("timers of the distant past fire at once", completes("done", delays=None))
@app.orchestration
def past_timers(ctx: ost.OrchestrationContext) -> Flow:
    for year in (1, 1970, 1975, 1985, 2000):
        yield ctx.create_timer(datetime(year, 1, 1, tzinfo=UTC))
    return "done"
