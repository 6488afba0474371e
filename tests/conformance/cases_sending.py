"""Events from one instance to another."""

from __future__ import annotations

import ostinato as ost

from .app import add_one, app, case, greet
from .model import Flow, RaiseEvent, Start, completes, fails


@app.orchestration
def collects(ctx: ost.OrchestrationContext, count: int) -> Flow:
    taken = []
    for _ in range(count):
        taken.append((yield ctx.wait_for_external_event("n")))
    return taken


@case(
    "an event is sent to another instance, once, and recorded under an id of its own",
    completes(
        2, scheduled=("0 send n", "1 add_one"), others={"{id}-other": completes([{"a": 1}, "end"])}
    ),
    Start("collects", 2),
    RaiseEvent("go"),
    RaiseEvent("n", "end", to="{id}-other"),
)
@app.orchestration
def sends(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    ctx.send_event(f"{ctx.instance_id}-other", "n", {"a": 1})
    return (yield ctx.call_activity(add_one, 1))


@case("an event sent to a child that was just asked for reaches it", completes([7]))
@app.orchestration
def sends_to_a_child(ctx: ost.OrchestrationContext) -> Flow:
    child = ctx.call_sub_orchestrator(collects, 1, instance_id=f"{ctx.instance_id}-child")
    ctx.send_event(f"{ctx.instance_id}-child", "n", 7)
    return (yield child)


@case(
    "an event sent to a child that was just asked for reaches it, not the one before it",
    completes([[], [7]]),
)
@app.orchestration
def sends_to_a_second_child(ctx: ost.OrchestrationContext) -> Flow:
    child_id = f"{ctx.instance_id}-child"
    first = yield ctx.call_sub_orchestrator(collects, 0, instance_id=child_id)
    child = ctx.call_sub_orchestrator(collects, 1, instance_id=child_id)
    ctx.send_event(child_id, "n", 7)
    return [first, (yield child)]


@case(
    "events to an unknown or finished instance are no error",
    completes("sent", others={"{id}-other": completes([])}),
    Start("collects", 0),
    RaiseEvent("go"),
)
@app.orchestration
def sends_to_nobody(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    ctx.send_event(f"{ctx.instance_id}-nobody", "n", 1)
    ctx.send_event(f"{ctx.instance_id}-other", "n", 2)
    yield ctx.call_activity(greet)
    return "sent"


@case(
    "events from one instance to another arrive in order",
    completes("sent", others={"{id}-other": completes(list(range(40)))}),
    Start("collects", 40),
    RaiseEvent("go"),
)
@app.orchestration
def sends_many(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    for number in range(40):
        ctx.send_event(f"{ctx.instance_id}-other", "n", number)
        if number % 10 == 0:
            yield ctx.call_activity(greet)
    return "sent"


@case(
    "an event may be sent to a child and answered to the parent",
    completes("ping pong", others={"{id}-child": completes("answered")}),
)
@app.orchestration
def ping(ctx: ost.OrchestrationContext) -> Flow:
    child = f"{ctx.instance_id}-child"
    answering = ctx.call_sub_orchestrator(pong, ctx.instance_id, child)
    yield ctx.wait_for_external_event("ready")
    ctx.send_event(child, "ping", "ping")
    answer = yield ctx.wait_for_external_event("pong")
    yield answering
    return answer


@app.orchestration
def pong(ctx: ost.OrchestrationContext, parent: str) -> Flow:
    ctx.send_event(parent, "ready")
    word = yield ctx.wait_for_external_event("ping")
    ctx.send_event(parent, "pong", f"{word} pong")
    return "answered"


@case("an instance may send itself an event", completes("to me", scheduled=("0 send me",)))
@app.orchestration
def sends_itself(ctx: ost.OrchestrationContext) -> Flow:
    ctx.send_event(ctx.instance_id, "me", "to me")
    return (yield ctx.wait_for_external_event("me"))


@case(
    "an event sent in the last turn arrives",
    fails("RuntimeError", "after sending", others={"{id}-other": completes(["last"])}),
    Start("collects", 1),
    RaiseEvent("go"),
)
@app.orchestration
def sends_and_fails(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.wait_for_external_event("go")
    ctx.send_event(f"{ctx.instance_id}-other", "n", "last")
    raise RuntimeError("after sending")


@case(
    "data that cannot be JSON is an error at the call",
    completes(["CodecError", "hello"], scheduled=("0 greet",)),
)
@app.orchestration
def sends_nan(ctx: ost.OrchestrationContext) -> Flow:
    try:
        ctx.send_event(f"{ctx.instance_id}-other", "n", float("nan"))
    except ost.CodecError as error:
        return [type(error).__name__, (yield ctx.call_activity(greet))]
