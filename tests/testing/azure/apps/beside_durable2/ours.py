"""An application of Ostinato's, which calls functions of azure-functions-durable 2.x by name."""

from dataclasses import dataclass
from datetime import timedelta

import ostinato as ost

app = ost.App("beside-durable2")
their_price = app.foreign_activity("their_price")
their_failing = app.foreign_activity("their_failing")
their_basket = app.foreign_orchestration("their_basket")
their_broken = app.foreign_orchestration("their_broken")
for name in ("their_order", "their_catching", "their_waiting"):
    app.foreign_orchestration(name)


@dataclass
class Order:
    """What both sides pass around."""

    item: str
    count: int


class SoldOut(Exception):
    """There is no more."""


@app.activity
def pack(order: Order) -> Order:
    """Pack one more than ordered."""
    return Order(order.item, order.count + 1)


@app.activity(raises=[SoldOut])
def refuse(item: str) -> None:
    """Fail."""
    raise SoldOut(f"no more {item}")


@app.activity(retry=ost.RetryPolicy(max_attempts=3, first_delay=60))
def third_time(item: str, activity: ost.ActivityContext) -> str:
    """Work when it is tried the third time."""
    if activity.attempt < 3:
        raise ConnectionError(f"attempt {activity.attempt}")
    return f"{item} after {activity.attempt} attempts"


@app.orchestration
def order(ctx: ost.OrchestrationContext, order: Order):
    """Call activities and orchestrations of both sides."""
    packed = yield ctx.call_activity(pack, order)
    price = yield ctx.call_activity(their_price, packed)
    basket = yield ctx.call_sub_orchestrator(their_basket, [packed, packed])
    return {"packed": packed, "price": price, "basket": basket}


@app.orchestration
def patient(ctx: ost.OrchestrationContext, item: str):
    """Retry, sleep, wait for an event, and start a child and an instance of nobody's."""
    ctx.set_custom_status("waiting")
    retried = yield ctx.call_activity(third_time, item)
    yield ctx.create_timer(timedelta(days=8))
    event = yield ctx.wait_for_external_event("go", timeout=timedelta(hours=1))
    child = yield ctx.call_sub_orchestrator(order, event, instance_id="child-of-patient")
    detached = ctx.start_orchestration(their_basket, [event], instance_id="nobodys")
    return [retried, child["price"], detached]


@app.orchestration
def telling(ctx: ost.OrchestrationContext, instance_id: str):
    """Send an event to an instance of theirs."""
    ctx.send_event(instance_id, "go", {"item": "tea", "at": "2026-01-02"})
    yield ctx.task_all([])


@app.orchestration
def catching(ctx: ost.OrchestrationContext):
    """Tell how activities and children of both sides fail."""
    told = []
    for task in (
        ctx.call_activity(refuse, "tea"),
        ctx.call_activity(their_failing, "coffee"),
        ctx.call_sub_orchestrator(broken, "milk"),
        ctx.call_sub_orchestrator(their_broken, "sugar"),
    ):
        try:
            yield task
        except ost.TaskFailedError as error:
            told.append([error.failure.type, error.failure.message])
    return told


@app.orchestration
def broken(ctx: ost.OrchestrationContext, item: str):
    """Fail with what an activity failed with."""
    yield ctx.call_activity(refuse, item)
