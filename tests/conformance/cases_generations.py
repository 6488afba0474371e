"""continue_as_new: what goes over to the next generation, and what does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ostinato as ost

from .app import add_one, app, case, greet, held
from .model import (
    Advance,
    Check,
    Flow,
    Noted,
    Now,
    Open,
    RaiseEvent,
    Resume,
    Suspend,
    Terminate,
    completes,
    stays,
    terminated,
)

RUNNING = ost.RuntimeStatus.RUNNING


@case(
    "each generation has the input it was given, and a history of its own",
    completes("last of 3", scheduled=("0 greet",)),
    input=3,
)
@app.orchestration
def countdown(ctx: ost.OrchestrationContext, left: int, of: int = 3) -> Flow:
    yield ctx.call_activity(greet)
    if left:
        ctx.continue_as_new(left - 1)
        return "not this"
    return f"last of {of}"


@case(
    "continue_as_new by its name in 1.x, with what is returned ignored",
    completes([0, True]),
    input=2,
)
@app.orchestration
def without_return(ctx: ost.OrchestrationContext) -> Flow:
    left = ctx.get_input()
    yield ctx.call_activity(greet)
    if left:
        ctx.continue_as_new(input_=left - 1)
        assert ctx.will_continue_as_new
    else:
        return [left, not ctx.will_continue_as_new]


@case("the instance keeps its id and gets new uuids in each generation", completes([True, True]))
@app.orchestration
def identity(ctx: ost.OrchestrationContext, before: list[Any] | None) -> Flow:
    mine = [ctx.instance_id, ctx.new_uuid()]
    yield ctx.call_activity(greet)
    if before is None:
        ctx.continue_as_new(mine)
        return None
    return [before[0] == mine[0], before[1] != mine[1]]


@case(
    "events not taken go over, in order",
    completes([1, 2, 3]),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
    RaiseEvent("go"),
    input={"keep": True},
)
@case(
    "events not taken are dropped when they are not to be kept",
    completes([4, 5, 6]),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
    RaiseEvent("go"),
    RaiseEvent("n", 4),
    RaiseEvent("n", 5),
    RaiseEvent("n", 6),
    input={"keep": False},
)
@app.orchestration
def keeps_events(ctx: ost.OrchestrationContext, state: dict[str, bool] | None) -> Flow:
    if state is not None:
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new(None, keep_events=state["keep"])
        return None
    taken = []
    for _ in range(3):
        taken.append((yield ctx.wait_for_external_event("n")))
    return taken


@case(
    "events taken before do not come again",
    completes([1, 2, 3]),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
)
@case(
    "events that arrive together are spread over the generations",
    completes([1, 2, 3]),
    Suspend(),
    RaiseEvent("n", 1),
    RaiseEvent("n", 2),
    RaiseEvent("n", 3),
    Resume(),
)
@app.orchestration
def one_each(ctx: ost.OrchestrationContext, taken: list[int] | None) -> Flow:
    number = yield ctx.wait_for_external_event("n")
    taken = [*(taken or []), number]
    if len(taken) == 3:
        return taken
    ctx.continue_as_new(taken)


@case(
    "an event id is remembered by later generations",
    completes(["one", "two"]),
    RaiseEvent("n", "one", "id-1"),
    RaiseEvent("n", "again", "id-1"),
    RaiseEvent("n", "two", "id-2"),
)
@app.orchestration
def ids_remembered(ctx: ost.OrchestrationContext, taken: list[str] | None) -> Flow:
    word = yield ctx.wait_for_external_event("n")
    if taken is not None:
        return [*taken, word]
    ctx.continue_as_new([word])


@case("the custom status goes over", completes("end", custom_status={"step": 1}), input="begin")
@app.orchestration
def status_survives(ctx: ost.OrchestrationContext, state: str) -> Flow:
    if state == "begin":
        ctx.set_custom_status({"step": 1})
        yield ctx.call_activity(greet)
        ctx.continue_as_new("end")
        return None
    yield ctx.call_activity(greet)
    assert ctx.custom_status == {"step": 1}
    return state


@case(
    "timers of an earlier generation do not fire in a later one",
    completes("event", scheduled=("0 timer",)),
    RaiseEvent("go"),
    Advance(50),
    Check(stays(RUNNING)),
    RaiseEvent("end"),
)
@app.orchestration
def timers_dropped(ctx: ost.OrchestrationContext, second: bool | None) -> Flow:
    if not second:
        ctx.create_timer(timedelta(seconds=10))
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new(True)
        return None
    timer = ctx.create_timer(timedelta(hours=1))
    winner = yield ctx.task_any([timer, ctx.wait_for_external_event("end")])
    return "timer" if winner is timer else "event"


@case(
    "results of an earlier generation's activities are dropped",
    completes("mine", scheduled=("0 held",), ran={"old": 1, "mine": 1}),
    Now(Noted("old")),
    Now(RaiseEvent("go")),
    Now(Noted("mine")),
    Now(Open("old")),
    Now(Open("mine")),
)
@app.orchestration
def results_dropped(ctx: ost.OrchestrationContext, second: bool | None) -> Flow:
    if second:
        return (yield ctx.call_activity(held, "mine"))
    ctx.call_activity(held, "old")
    yield ctx.wait_for_external_event("go")
    ctx.continue_as_new(True)


@case("an input that cannot be JSON is an error at the call", completes("CodecError"))
@app.orchestration
def bad_next_input(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(greet)
    try:
        ctx.continue_as_new(float("inf"))
    except ost.CodecError as error:
        return type(error).__name__


@case(
    "an eternal orchestration goes on until it is terminated",
    terminated("enough", custom_status=5),
    *(RaiseEvent("tick") for _ in range(5)),
    Check(stays(RUNNING, custom_status=5)),
    Terminate("enough"),
    input=0,
)
@app.orchestration
def eternal(ctx: ost.OrchestrationContext, ticks: int) -> Flow:
    ctx.set_custom_status(ticks)
    yield ctx.wait_for_external_event("tick")
    ctx.continue_as_new(ticks + 1)


@case("a hundred generations in a row", completes(100), input=0)
@app.orchestration
def hundred_generations(ctx: ost.OrchestrationContext, number: int) -> Flow:
    if number == 100:
        return number
    number = yield ctx.call_activity(add_one, number)
    ctx.continue_as_new(number)


@case("a generation may end in its first turn", completes("third"), input="first")
@app.orchestration
def at_once(ctx: ost.OrchestrationContext, which: str) -> Flow:
    yield from ()
    following = {"first": "second", "second": "third"}.get(which)
    if following is None:
        return which
    ctx.continue_as_new(following)
