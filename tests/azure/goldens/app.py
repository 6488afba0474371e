"""An application that makes use of every device of the adapter's."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import ostinato as ost

Flow = Generator[Any, Any, Any]

app = ost.App("goldens")


@app.activity
def double(number: int) -> int:
    return 2 * number


@app.activity
def flaky(number: int, context: ost.ActivityContext) -> int:
    """Fail at the first attempt."""
    if context.attempt == 1:
        raise ConnectionError(f"no answer for {number}")
    return number


@app.orchestration
def child(ctx: ost.OrchestrationContext, number: int) -> Flow:
    return (yield ctx.call_activity(double, number))


@app.orchestration(version="1")
def devices(ctx: ost.OrchestrationContext, generation: int) -> Flow:
    """Ask for one of everything, wait for weeks, and do so once more as a new generation."""
    ctx.set_custom_status({"generation": generation})
    first = yield ctx.wait_for_external_event("go")
    ctx.create_timer(timedelta(days=40)).cancel()
    month = ctx.create_timer(timedelta(days=30))
    doubled = yield ctx.map(double, [1, 2, 3], max_concurrency=2)
    tried = yield ctx.call_activity(flaky, 7, retry=ost.RetryPolicy(2, 60))
    named = ctx.call_sub_orchestrator(child, 4, f"{ctx.instance_id}-{generation}")
    plain = ctx.call_sub_orchestrator(child, 5)
    children = yield ctx.task_all([named, plain])
    for number in range(2):
        ctx.send_event(ctx.instance_id, "back", number)
    backs: list[Any] = []
    while len(backs) < 2:
        backs.append((yield ctx.wait_for_external_event("back")))
    if ctx.patched("waits a month"):
        yield month
    if generation == 1:
        ctx.continue_as_new(2)
        return None
    return [first, doubled, tried, children, backs]
