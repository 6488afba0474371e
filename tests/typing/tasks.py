"""Type-checked, never run: what `yield from` gives is what the function promises."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

import ostinato as ost
from ostinato.tasks import Task

app = ost.App("typing")


@dataclass
class Item:
    name: str


@app.activity
def length(text: str) -> int:
    return len(text)


@app.activity
def now() -> str:
    return ""


@app.activity
def with_context(text: str, context: ost.ActivityContext) -> Item:
    return Item(text)


@app.activity
def context_only(context: ost.ActivityContext) -> bytes:
    return b""


@app.activity
async def later(text: str) -> float:
    return 0.0


@app.activity(retry=ost.RetryPolicy(3, 1))
async def later_still() -> list[Item]:
    return []


@app.orchestration
def child(ctx: ost.OrchestrationContext, number: int) -> Generator[Any, Any, Item]:
    return (yield from ctx.call_activity(with_context, str(number)))


@app.orchestration(version="2")
def typed(ctx: ost.OrchestrationContext) -> Generator[Any, Any, None]:
    # Decorators leave the functions as they are.
    assert_type(length("a"), int)

    # Activities
    assert_type(ctx.call_activity(length, "a"), Task[int])
    assert_type((yield from ctx.call_activity(length, "a")), int)
    assert_type((yield from ctx.call_activity(length, input="a")), int)
    assert_type((yield from ctx.call_activity(now)), str)
    assert_type((yield from ctx.call_activity(with_context, "a")), Item)
    assert_type((yield from ctx.call_activity(context_only)), bytes)
    assert_type((yield from ctx.call_activity(later, "a")), float)
    assert_type((yield from ctx.call_activity(later_still)), list[Item])
    assert_type(
        (yield from ctx.call_activity(length, "a", retry=ost.RetryPolicy(2), timeout=5)), int
    )
    assert_type((yield from ctx.call_activity("length", "a")), Any)
    assert_type((yield from ctx.call_activity("length", "a", expected_type=int)), int)

    # Several at once
    assert_type((yield from ctx.map(length, ["a", "b"], max_concurrency=2)), list[int])
    assert_type((yield from ctx.map(later, ["a", "b"])), list[float])
    assert_type((yield from ctx.map(with_context, ["a", "b"])), list[Item])
    calls = [ctx.call_activity(length, text) for text in ("a", "b")]
    assert_type(calls, list[Task[int]])
    assert_type((yield from ctx.task_all(calls)), list[int])
    winner = yield from ctx.task_any(calls)
    assert_type(winner, Task[int])
    assert_type((yield from winner), int)
    nested = ctx.task_all([ctx.task_all(calls), ctx.task_all(calls)])
    assert_type((yield from nested), list[list[int]])

    # Children
    assert_type((yield from ctx.call_sub_orchestrator(child, 1)), Item)
    assert_type((yield from ctx.call_sub_orchestrator("child", 1)), Any)

    # Waiting
    assert_type((yield from ctx.wait_for_external_event("e", Item)), Item)
    assert_type((yield from ctx.wait_for_external_event("e", int, timeout=timedelta(1))), int)
    assert_type((yield from ctx.wait_for_external_event("e")), Any)
    assert_type((yield from ctx.create_timer(timedelta(days=1))), None)
    timer = ctx.create_timer(ctx.current_utc_datetime)
    timer.cancel()
    assert_type(timer.is_cancelled, bool)

    # The rest
    assert_type(ctx.new_uuid(), str)
    assert_type(ctx.random.random(), float)
    assert_type(ctx.patched("p"), bool)
    assert_type(ctx.start_orchestration(child, 1), str)
    assert_type(ctx.instance_id, str)
    assert_type(ctx.version, str | None)
