from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import Query
from ostinato.errors import StoreError
from ostinato.local.memory import MemoryStore
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.crashes import (
    CrashingStore,
    CrashPoint,
    OpenStore,
    Stage,
    check_history,
    explore,
)
from ostinato.testing.store_contract import NOW, head, item, message, new

app = ost.App("explored")


@app.activity
def double(number: int) -> int:
    return number * 2


@app.activity
async def triple(number: int) -> int:
    await asyncio.sleep(0)
    return number * 3


@app.activity
def fail_first(number: int, context: ost.ActivityContext) -> int:
    if context.attempt == 1:
        raise ValueError(f"not {number} yet")
    return number


@app.orchestration
def chain(ctx: ost.OrchestrationContext, length: int):
    value = 1
    for _ in range(length):
        value = yield ctx.call_activity(double, value)
    return value


@app.orchestration
def fan_out(ctx: ost.OrchestrationContext, width: int):
    doubled = yield ctx.task_all([ctx.call_activity(double, n) for n in range(width)])
    tripled = yield ctx.map(triple, doubled, max_concurrency=2)
    return sum(tripled)


@app.orchestration
def retried(ctx: ost.OrchestrationContext):
    policy = ost.RetryPolicy(max_attempts=3, first_delay=10)
    return (yield ctx.map(fail_first, [1, 2], retry=policy))


@app.orchestration
def parent(ctx: ost.OrchestrationContext):
    children = [ctx.call_sub_orchestrator(chain, n) for n in range(3)]
    ctx.start_orchestration(chain, 1)
    values = yield ctx.task_all(children)
    ctx.set_custom_status("joined")
    return values


@app.orchestration
def gathers(ctx: ost.OrchestrationContext):
    first = yield ctx.wait_for_external_event("item")
    yield ctx.create_timer(timedelta(hours=1))
    second = yield ctx.wait_for_external_event("item")
    return [first, second]


@app.orchestration
def sends(ctx: ost.OrchestrationContext, target: str):
    ctx.send_event(target, "item", "one")
    ctx.send_event(target, "item", "two")
    yield ctx.create_timer(timedelta(seconds=1))


@app.orchestration
def rounds(ctx: ost.OrchestrationContext, left: int):
    yield ctx.call_activity(double, left)
    got = yield ctx.wait_for_external_event("round")
    if left:
        ctx.continue_as_new(left - 1)
    return got


@app.orchestration
def fails(ctx: ost.OrchestrationContext):
    waiting = ctx.call_sub_orchestrator(gathers)
    yield ctx.call_activity(fail_first, 7)
    yield waiting


@app.orchestration(purge_after=60)
def forgotten(ctx: ost.OrchestrationContext):
    return (yield ctx.call_activity(double, 1))


def starting(name: str, given: object = None, **options: Any):
    def scenario(stage: Stage) -> None:
        stage.do(lambda c: c.start(name, given, instance_id="a", if_exists="attach", **options))
        stage.advance(3600)

    return scenario


def gathering(stage: Stage) -> None:
    stage.do(lambda c: c.start("gathers", instance_id="g", if_exists="attach"))
    stage.do(lambda c: c.start("sends", "g", instance_id="s", if_exists="attach"))
    stage.advance(3600)


def in_rounds(stage: Stage) -> None:
    def send(n: int) -> None:
        stage.do(lambda c: c.raise_event("a", "round", n, event_id=f"round-{n}"))

    stage.do(lambda c: c.start("rounds", 3, instance_id="a", if_exists="attach"))
    for n in (0, 0, 1, 2, 2, 1, 3):  # a sender that repeats itself
        send(n)
    stage.settle()


def terminating(stage: Stage) -> None:
    stage.do(lambda c: c.start("fails", instance_id="a", if_exists="attach"))
    stage.do(lambda c: c.start("gathers", instance_id="b", if_exists="attach"))
    stage.settle()
    stage.do(lambda c: c.suspend("b", "not now"))
    stage.do(lambda c: c.raise_event("b", "item", 1, event_id="1"))
    stage.settle()
    stage.do(lambda c: c.terminate("b", "enough"))
    stage.settle()


SCENARIOS = {
    "a chain": starting("chain", 4),
    "a fan-out": starting("fan_out", 5),
    "retries": starting("retried"),
    "children": starting("parent"),
    "events from an instance": gathering,
    "generations": in_rounds,
    "ends from outside": terminating,
    "a later start": starting(
        "chain", 1, start_at=ost.testing.ManualClock().now() + timedelta(seconds=60)
    ),
    "an instance that is forgotten": starting("forgotten"),
}


@pytest.mark.parametrize("cache_size", [0, 100])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_crash_at_any_write_changes_nothing(scenario, cache_size):
    found = explore(app, scenario, cache_size=cache_size, deaths=2)
    assert found.writes >= 2
    assert found.kills >= found.writes


@pytest.mark.parametrize("name", ["children", "retries", "generations"])
def test_a_crash_at_any_write_to_a_file_changes_nothing(name, tmp_path: Path):
    numbers = count()

    def new_hub() -> OpenStore:
        path = tmp_path / f"{next(numbers)}.db"
        return lambda: SqliteStore(path)

    assert explore(app, SCENARIOS[name], new_hub=new_hub).kills


def test_an_outcome_that_depends_on_the_crash_is_found():
    flawed = ost.App("flawed")
    runs = count()

    @flawed.activity
    def number() -> int:
        return next(runs)

    @flawed.orchestration
    def counts(ctx: ost.OrchestrationContext):
        return (yield ctx.call_activity(number))

    with pytest.raises(AssertionError, match=r"after a death before write 1: expected .*, found"):
        explore(flawed, starting("counts"))


def test_an_error_of_the_scenario_is_not_taken_for_a_crash():
    def scenario(stage: Stage) -> None:
        stage.do(lambda c: c.terminate("nobody"))

    with pytest.raises(ost.InstanceNotFoundError):
        explore(app, scenario)


# The store


@pytest.mark.parametrize(("when", "kept"), [("before", ["a"]), ("after", ["b", "a"])])
def test_a_store_dies_at_its_point_and_writes_no_more(when, kept):
    inner = MemoryStore()
    deaths: list[str] = []
    store = CrashingStore(inner, CrashPoint(2, when), on_death=lambda: deaths.append("dead"))
    store.commit([new("a")])
    with pytest.raises(StoreError, match="killed"):
        store.commit([new("b")])
    assert store.dead
    assert deaths == ["dead"]
    for use in (
        lambda: store.commit([new("c")]),
        lambda: store.send([message("a", "x")]),
        lambda: store.create(
            head("d"),
            ev.ExecutionStarted(at=NOW, instance_id="d", execution_id="d-1", name="d"),
            "reject",
        ),
        lambda: store.purge(["a"]),
        lambda: store.discard([1]),
        lambda: store.instance("a"),
        lambda: store.version(),
    ):
        with pytest.raises(StoreError, match="killed"):
            use()
    store.close()
    assert [one.instance_id for one in inner.instances(Query())[0]] == kept


def test_what_ran_at_the_death_is_known_to_the_next_host():
    inner = MemoryStore()
    store = CrashingStore(inner, CrashPoint(2, "after"))
    board = store.acquire()
    store.commit([new(work_added=[item(0), item(1)])])
    slots = [board.started(item(n).key) for n in (0, 1)]
    board.finished(slots[0])
    with pytest.raises(StoreError, match="killed"):
        store.commit([])
    board.finished(slots[1])
    board.started(item(0).key)
    with closing(CrashingStore(inner)) as again:
        again.acquire()
        assert list(again.crashed()) == [item(1).key]


# Histories


AT = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN = (
    ev.OrchestratorStarted(at=AT),
    ev.ExecutionStarted(at=AT, instance_id="a", execution_id="e", name="chain"),
)
END = ev.ExecutionCompleted(at=AT, status="Completed", result="1")


def scheduled(task_id: int) -> ev.Event:
    return ev.TaskScheduled(at=AT, task_id=task_id, name="double")


def completed(task_id: int) -> ev.Event:
    return ev.TaskCompleted(at=AT, task_id=task_id)


def failed(task_id: int) -> ev.Event:
    return ev.TaskFailed(at=AT, task_id=task_id, failure=ost.Failure(type="ValueError"))


def test_a_sound_history_passes():
    check_history([])
    check_history([*BEGIN, scheduled(1), scheduled(0), completed(0), failed(1), END], 7)


@pytest.mark.parametrize(
    ("history", "flaw"),
    [
        ([scheduled(0)], "started 0 times"),
        ([*BEGIN, *BEGIN], "started 2 times"),
        ([*BEGIN, scheduled(0), scheduled(0)], "task 0 was scheduled twice"),
        ([*BEGIN, scheduled(0), scheduled(2)], "gaps"),
        ([*BEGIN, completed(0), scheduled(0)], "nothing is open"),
        ([*BEGIN, scheduled(0), completed(0), failed(0)], "nothing is open"),
        ([*BEGIN, scheduled(0), ev.TimerFired(at=AT, task_id=0, due=AT)], "nothing is open"),
        ([*BEGIN, END, scheduled(0)], "goes on after its end"),
        ([*BEGIN, END, END], "goes on after its end"),
    ],
)
def test_a_flaw_of_a_history_is_named(history, flaw):
    with pytest.raises(AssertionError, match=flaw):
        check_history(history)


def test_a_history_has_as_many_events_as_its_head_says():
    with pytest.raises(AssertionError, match="2 events, not 3"):
        check_history(BEGIN, 3)


def test_what_a_rewind_dropped_does_not_count():
    rewound = ev.ExecutionRewound(at=AT, dropped=(3, 4))
    check_history([*BEGIN, scheduled(0), failed(0), END, *BEGIN[:1], rewound, completed(0), END])
