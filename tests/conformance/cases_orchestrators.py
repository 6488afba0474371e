"""The forms an orchestrator may take, and how it ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import ostinato as ost

from .app import InsufficientFunds, add_one, app, case, echo, mendable, note, refuse
from .model import Check, Flow, RaiseEvent, Refused, Start, completes, fails, stays, terminated
from .model import Terminate as TerminateStep

RUNNING = ost.RuntimeStatus.RUNNING


@case("an orchestrator may return without a yield", completes("at once", scheduled=()))
@app.orchestration
def without_yield(ctx: ost.OrchestrationContext) -> Flow:
    return "at once"
    yield


@case("an orchestrator that returns nothing gives None", completes(None))
@app.orchestration
def without_return_value(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)


@case(
    "an orchestrator of one parameter asks for its input",
    completes([{"a": 1}, {"a": 1}]),
    input={"a": 1},
)
@app.orchestration
def one_parameter(ctx: ost.OrchestrationContext) -> Flow:
    before = ctx.get_input()
    yield ctx.call_activity(add_one, 1)
    return [before, ctx.get_input()]


@case(
    "an orchestrator of two parameters is given its input",
    completes([{"a": 1}, {"a": 1}]),
    input={"a": 1},
)
@app.orchestration
def two_parameters(ctx: ost.OrchestrationContext, order: dict[str, int]) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return [order, ctx.get_input()]


@case("an input that was not given is None", completes([None, None]))
@app.orchestration
def no_input(ctx: ost.OrchestrationContext, order: Any) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return [order, ctx.get_input()]


@dataclass
class Order:
    item: str
    count: int = 1


@case(
    "the input is decoded by its annotation",
    completes(["tea", 2]),
    input={"item": "tea", "count": 2},
)
@case(
    "the input is decoded by its annotation, with its defaults",
    completes(["tea", 1]),
    input=Order("tea"),
)
@case(
    "an input that does not fit the annotation is refused by the client",
    completes(["tea", 1]),
    Refused(Start("annotated", {"count": "many"}), ost.CodecError),
    Refused(Start("annotated", {"item": 5}), ost.CodecError),
    input={"item": "tea"},
)
@app.orchestration
def annotated(ctx: ost.OrchestrationContext, order: Order) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return [order.item, order.count]


@case(
    "the input is decoded as the type asked for",
    completes(["tea", 3]),
    input={"item": "tea", "count": 3},
)
@app.orchestration
def typed_input(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()
    order = ctx.get_input(Order)
    assert isinstance(order, Order)
    return [order.item, order.count]


@case("parts of an orchestrator may be generators of their own", completes([2, 4]))
@app.orchestration
def with_helpers(ctx: ost.OrchestrationContext) -> Flow:
    first = yield from _twice(ctx, 0)
    second = yield from _twice(ctx, first)
    return [first, second]


def _twice(ctx: ost.OrchestrationContext, number: int) -> Flow:
    number = yield from ctx.call_activity(add_one, number)
    return (yield ctx.call_activity(add_one, number))


@case("a helper's failure passes through the generators", completes("caught no"))
@app.orchestration
def with_failing_helper(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield from _refusing(ctx)
    except ValueError as error:
        assert isinstance(error, ost.TaskFailedError)
        return f"caught {error.failure.message}"


def _refusing(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    yield from ctx.call_activity(refuse, "no")


@case("yield from and yield may be mixed, also on combined tasks", completes([[2, 3], 4]))
@app.orchestration
def mixed_yields(ctx: ost.OrchestrationContext) -> Flow:
    both = yield from ctx.task_all([ctx.call_activity(add_one, n) for n in (1, 2)])
    winner = yield from ctx.task_any([ctx.call_activity(add_one, 3)])
    return [both, (yield winner)]


# Errors of the orchestrator's own


@case(
    "an exception in the first turn fails the instance",
    fails("ValueError", re.compile("'one'"), scheduled=()),
)
@app.orchestration
def fails_at_once(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, int("one"))


@case("an exception in a later turn fails the instance", fails("KeyError", "'lost'"))
@app.orchestration
def fails_later(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    raise KeyError("lost")


@case("an exception of the user's own keeps its name", fails("InsufficientFunds", "ada lacks 5"))
@app.orchestration
def fails_declared(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    raise InsufficientFunds(5, account="ada")


@case(
    "a StopIteration that gets out of the orchestrator is a RuntimeError, as in any generator",
    fails("RuntimeError", re.compile("StopIteration")),
)
@app.orchestration
def stops_iteration(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    next(iter(()))


@case(
    "an exception fails the instance though work is still open",
    fails("RuntimeError", "impatient"),
    Check(fails("RuntimeError", "impatient")),
)
@app.orchestration
def fails_with_open_work(ctx: ost.OrchestrationContext) -> Flow:
    ctx.wait_for_external_event("never")
    yield ctx.call_activity(add_one, 1)
    raise RuntimeError("impatient")


@case("an output that cannot be JSON fails the instance", fails("CodecError", re.compile("Opaque")))
@app.orchestration
def opaque_output(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return Opaque()


class Opaque:
    """No JSON can be made of it."""


@case(
    "an output with a NaN fails the instance and says where",
    fails("CodecError", re.compile(r"\$\.scores\[1\]")),
)
@app.orchestration
def nan_output(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_activity(add_one, 1)
    return {"scores": [1.0, float("nan")]}


# Catching, compensating, finally


@case(
    "what was done is compensated in reverse when a step fails",
    completes("sold out", ran=("book-flight", "book-hotel", "cancel-hotel", "cancel-flight")),
)
@app.orchestration
def saga(ctx: ost.OrchestrationContext) -> Flow:
    undo = []
    try:
        for step in ("flight", "hotel"):
            yield ctx.call_activity(note, f"book-{step}")
            undo.append(step)
        yield ctx.call_activity(refuse, "sold out")
    except ValueError as error:
        for step in reversed(undo):
            yield ctx.call_activity(note, f"cancel-{step}")
        assert isinstance(error, ost.TaskFailedError)
        return error.failure.message


@case(
    "finally blocks may yield, and the failure goes on", fails("ValueError", "no", ran=("finally",))
)
@app.orchestration
def finally_yields(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(refuse, "no")
    finally:
        yield ctx.call_activity(note, "finally")


@case(
    "finally blocks run once, at the end, not when a waiting instance is put aside",
    completes("went", ran=("finally",)),
    Check(stays(RUNNING, ran=())),
    RaiseEvent("go"),
)
@case("else and finally belong to the flow", terminated("stop", ran=()), TerminateStep("stop"))
@app.orchestration
def waits_in_try(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.wait_for_external_event("go")
    finally:
        yield ctx.call_activity(note, "finally")
    return "went"


@case(
    "an exception raised while handling another has it as its cause",
    fails("LookupError", "second", cause_type="ValueError"),
)
@app.orchestration
def raises_while_handling(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_activity(refuse, "first")
    except ValueError:
        raise LookupError("second")  # noqa: B904  # the implicit context is under test


@case(
    "a loop of the orchestrator's own may try again",
    completes(["gate", 3], ran={"gate": 3}),
    RaiseEvent("again"),
    RaiseEvent("again"),
    input=None,
)
@app.orchestration
def tries_itself(ctx: ost.OrchestrationContext) -> Flow:
    for attempt in range(1, 10):
        try:
            if attempt == 3:
                yield ctx.call_activity(open_gate, "gate")
            return [(yield ctx.call_activity(mendable, "gate")), attempt]
        except RuntimeError:
            yield ctx.wait_for_external_event("again")


@app.activity
def open_gate(gate: str) -> None:
    from . import world

    world.open_gate(gate)


@case("a branch is taken by what an activity answered", completes("even"), input=2)
@case("a branch is taken by what an activity answered, the other way", completes("odd"), input=3)
@app.orchestration
def branches(ctx: ost.OrchestrationContext, number: int) -> Flow:
    answer = yield ctx.call_activity(echo, number)
    if answer % 2:
        return (yield ctx.call_activity(echo, "odd"))
    return (yield ctx.call_activity(echo, "even"))


@app.orchestration
def logs(ctx: ost.OrchestrationContext) -> Flow:
    """No case of its own: see test_logging."""
    for step in range(3):
        ctx.logger.info("step %d", step)
        yield ctx.call_activity(echo, step)
    yield ctx.wait_for_external_event("go")
    ctx.logger.warning("the end")
