"""How fast stored histories are replayed, beside the peers' replay and a bare generator.

Each contender gets the bytes that its own engine would have kept of the same run, decodes
them and drives the same orchestrator to its end. See README.md for the method.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
import peers
from common import Result

if TYPE_CHECKING:
    import ostinato as ost
    from ostinato.events import Event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TURN = 32
"""Results that reach a fan-out in one turn."""


def chain(ctx: ost.OrchestrationContext, steps: int) -> Generator[Any, Any, int]:
    value = 0
    for _ in range(steps):
        value = yield ctx.call_activity("add_one", value)
    return value


def fan_out(ctx: ost.OrchestrationContext, items: int) -> Generator[Any, Any, int]:
    results = yield ctx.task_all([ctx.call_activity("add_one", i) for i in range(items)])
    return sum(results)


def add_one(value: int) -> int:
    return value + 1


def replay(shape: str, activities: int, turn: int) -> Result:
    """Ours: decode the stored events and replay them, to the orchestrator's return."""
    import ostinato as ost
    from ostinato.actions import Completed
    from ostinato.events import decode_events, encode_events
    from ostinato.replay import Orchestration

    app = ost.App("bench")
    app.activity(add_one)
    app.orchestration(chain)
    app.orchestration(fan_out)
    build = sequential_history if shape == "sequential" else fan_out_history
    stored = encode_events(build(activities, turn))

    def once() -> object:
        orchestration = Orchestration(app.registry)
        orchestration.replay(decode_events(stored))
        orchestration.take_actions()
        return orchestration.outcome

    expected = activities if shape == "sequential" else activities * (activities + 1) // 2
    outcome = once()
    if outcome != Completed(str(expected)):
        raise common.BenchError(f"the replay ended with {outcome}")
    return {"activities_per_s": activities / common.timed(once), "bytes": len(stored)}


def bare(shape: str, activities: int, turn: int) -> Result:
    """A generator driven by ``send``, with nothing checked, decoded or remembered."""

    def sequence() -> Generator[int, int, int]:
        value = 0
        for _ in range(activities):
            value = yield value
        return value

    def once() -> object:
        generator = sequence()
        value = next(generator)
        try:
            while True:
                value = generator.send(value + 1)
        except StopIteration as end:
            return end.value

    if once() != activities:
        raise common.BenchError("the bare generator went astray")
    return {"activities_per_s": activities / common.timed(once)}


def sequential_history(activities: int, turn: int) -> list[Event]:
    """One turn an activity: its predecessor's result, then its scheduling."""
    from ostinato import events as ev

    events = _first("chain", activities)
    for number in range(activities):
        at = EPOCH + timedelta(milliseconds=number)
        events += [
            ev.TaskScheduled(at=at, task_id=number, name="add_one", input=str(number)),
            ev.OrchestratorStarted(at=at),
            ev.TaskCompleted(at=at, task_id=number, result=str(number + 1)),
        ]
    return events


def fan_out_history(activities: int, turn: int) -> list[Event]:
    """A turn that schedules everything, then turns of ``turn`` results each."""
    from ostinato import events as ev

    events = _first("fan_out", activities)
    events += [
        ev.TaskScheduled(at=EPOCH, task_id=number, name="add_one", input=str(number))
        for number in range(activities)
    ]
    for first in range(0, activities, turn):
        at = EPOCH + timedelta(milliseconds=first)
        events.append(ev.OrchestratorStarted(at=at))
        events += [
            ev.TaskCompleted(at=at, task_id=number, result=str(number + 1))
            for number in range(first, min(first + turn, activities))
        ]
    return events


def _first(name: str, activities: int) -> list[Event]:
    from ostinato import events as ev

    return [
        ev.OrchestratorStarted(at=EPOCH),
        ev.ExecutionStarted(
            at=EPOCH, instance_id="i", execution_id="e", name=name, input=str(activities)
        ),
    ]


def compare(shape: str, activities: int, rounds: int, with_peers: bool) -> Result:
    sizes: dict[str, Any] = {"shape": shape, "activities": activities, "turn": TURN}
    child = partial(common.run_child, sys.executable, Path(__file__))
    contenders: dict[str, Callable[[], Result]] = {"ostinato": partial(child, "replay", sizes)}
    if with_peers:
        contenders["durabletask"] = partial(peers.run, "durabletask", "replay", **sizes)
        contenders["azure-functions-durable"] = partial(peers.run, "azure", "replay", **sizes)
        contenders["temporalio"] = partial(peers.run, "temporal", "replay", **sizes)
    if shape == "sequential":
        contenders["bare generator"] = partial(child, "bare", sizes)
    results = common.repeated(rounds, contenders)
    key = "activities_per_s"
    ratios = {
        name: common.ratio(results, "ostinato", (name,), key)
        for name in results
        if name != "ostinato"
    }
    return {"results": results, "ratios": ratios}


def main() -> None:
    options = common.options(__doc__ or "")
    rounds = 1 if options.quick else options.rounds
    activities = 500 if options.quick else 5_000
    titles = {
        "sequential": f"replay of {activities:,} activities one after another",
        "fan_out": f"replay of a fan-out of {activities:,} activities",
    }
    scenarios: dict[str, Result] = {}
    for shape, title in titles.items():
        if options.only and shape not in options.only:
            continue
        scenarios[shape] = compare(shape, activities, rounds, not options.no_peers)
        if not options.json:
            columns = {"activities_per_s": "activities/s", "bytes": "bytes stored"}
            common.show(title, scenarios[shape]["results"], columns)
            for name, ratio in scenarios[shape]["ratios"].items():
                common.say_ratio(f"against {name}", ratio)
    if options.json:
        report = {"machine": common.machine(), "rounds": rounds, "scenarios": scenarios}
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    common.serve_child({"replay": replay, "bare": bare})
    main()
