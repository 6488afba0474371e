"""How fast the embedded engine is, and what it holds in memory, beside its peers.

Each figure comes from a process of its own, contenders take turns within a round, and what is
printed are medians over the rounds. See README.md for the method.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
import peers
from common import Result

if TYPE_CHECKING:
    import ostinato as ost
    from ostinato.client import Client

WAIT = 800.0
"""Seconds after which a run counts as stuck."""

# What is measured: the orchestrators, and one case for each scenario, run in a child.

ran_at: dict[int, float] = {}
"""When the activity ran, by its input."""
ran = threading.Event()


def add_one(value: int) -> int:
    return value + 1


def note(value: int) -> int:
    ran_at[value] = time.perf_counter()
    ran.set()
    return value + 1


def chain(ctx: ost.OrchestrationContext, steps: int) -> Generator[Any, Any, int]:
    value = 0
    for _ in range(steps):
        value = yield ctx.call_activity(add_one, value)
    return value


def noted_chain(ctx: ost.OrchestrationContext, steps: int) -> Generator[Any, Any, int]:
    value = 0
    for _ in range(steps):
        value = yield ctx.call_activity(note, value)
    return value


def fan_out(ctx: ost.OrchestrationContext, items: int) -> Generator[Any, Any, int]:
    results = yield ctx.task_all([ctx.call_activity(add_one, i) for i in range(items)])
    return sum(results)


def parked(ctx: ost.OrchestrationContext) -> Generator[Any, Any, int]:
    value = yield ctx.wait_for_external_event("go")
    result: int = yield ctx.call_activity(note, value)
    return result


@contextmanager
def running() -> Generator[Client, None, None]:
    """A host on a new file, warmed up by one instance; ``ran_at`` is empty."""
    import ostinato as ost
    from ostinato.local import LocalHost

    app = ost.App("bench")
    for activity in (add_one, note):
        app.activity(activity)
    for orchestration in (chain, noted_chain, fan_out, parked):
        app.orchestration(orchestration)
    with common.scratch() as folder, LocalHost(app, store=str(folder / "hub.db")) as host:
        _ended(host.client, host.client.start("noted_chain", 1), 1)
        ran_at.clear()
        yield host.client


def _ended(client: Client, instance_id: str, output: int) -> None:
    status = client.wait(instance_id, timeout=WAIT)
    if status.runtime_status != "Completed" or status.output != output:
        raise common.BenchError(f"{status}")


def chains(instances: int, steps: int, together: bool) -> Result:
    """``instances`` of ``steps`` activities one after another."""
    from ostinato.client import Start

    with running() as client:
        began = time.perf_counter()
        if together:
            ids = client.start_many([Start(name="chain", input=steps)] * instances)
        else:
            ids = [client.start("chain", steps) for _ in range(instances)]
        for instance_id in ids:
            _ended(client, instance_id, steps)
        took = time.perf_counter() - began
    return {"activities_per_s": instances * steps / took, "seconds": took}


def fan(items: int) -> Result:
    """One instance that schedules ``items`` activities at once."""
    with running() as client:
        before = common.memory()[0]
        began = time.perf_counter()
        _ended(client, client.start("fan_out", items), items * (items + 1) // 2)
        took = time.perf_counter() - began
        peak = common.memory()[1]
    return {
        "activities_per_s": items / took,
        "seconds": took,
        "peak_mb": peak,
        "kb_per_item": (peak - before) * 1000 / items,
    }


def sequential(steps: int) -> Result:
    """One instance of ``steps`` activities, and the pace at its two ends."""
    with running() as client:
        began = time.perf_counter()
        _ended(client, client.start("noted_chain", steps), steps)
        took = time.perf_counter() - began
    at = [ran_at[number] for number in range(steps)]
    end = steps // 10
    return {
        "activities_per_s": steps / took,
        "seconds": took,
        "first_per_s": (end - 1) / (at[end - 1] - at[0]),
        "last_per_s": (end - 1) / (at[-1] - at[-end]),
    }


def park(instances: int, sample: int) -> Result:
    """``instances`` that wait for an event; some of them, far apart, are woken singly."""
    from ostinato.client import Start

    with running() as client:
        before = common.memory()[0]
        began = time.perf_counter()
        ids = client.start_many([Start(name="parked") for _ in range(instances)])
        _settle(client)
        took = time.perf_counter() - began
        holds, peak = common.memory()
        to_activity: list[float] = []
        to_end: list[float] = []
        for number in range(sample):
            instance_id = ids[number * instances // sample]
            ran.clear()
            raised = time.perf_counter()
            client.raise_event(instance_id, "go", number)
            _ended(client, instance_id, number + 1)
            to_end.append(time.perf_counter() - raised)
            to_activity.append(ran_at[number] - raised)
    return {
        "holds_mb": holds,
        "peak_mb": peak,
        "host_mb": before,
        "parked_per_s": instances / took,
        "activity_ms": statistics.median(to_activity) * 1000,
        "activity_p99_ms": _p99(to_activity) * 1000,
        "end_ms": statistics.median(to_end) * 1000,
        "end_p99_ms": _p99(to_end) * 1000,
    }


def _settle(client: Client) -> None:
    from ostinato.client import Query, RuntimeStatus

    pending = Query(status=(RuntimeStatus.PENDING,), page_size=1)
    deadline = time.monotonic() + WAIT
    while client.list_instances(pending).instances:
        if time.monotonic() > deadline:
            raise common.BenchError("instances are still pending")
        time.sleep(0.05)


def _p99(values: list[float]) -> float:
    return sorted(values)[-(-len(values) * 99 // 100) - 1]


CASES: dict[str, Callable[..., Result]] = {
    "chains": chains,
    "fan": fan,
    "sequential": sequential,
    "park": park,
}


# What is compared: one function for each scenario.


def ours(case: str, **sizes: Any) -> Callable[[], Result]:
    return partial(common.run_child, sys.executable, Path(__file__), case, sizes)


def raw(case: str, **sizes: Any) -> Callable[[], Result]:
    script = common.HERE / "peer_sqlite.py"
    return partial(common.run_child, sys.executable, script, case, sizes)


def peer(script: str, case: str, **sizes: Any) -> Callable[[], Result]:
    return partial(peers.run, script, case, **sizes)


class Run:
    """What the command line asked for, and what has been measured so far."""

    def __init__(self) -> None:
        self.options = common.options(__doc__ or "")
        self.rounds = 1 if self.options.quick else self.options.rounds
        self.scenarios: dict[str, Result] = {}

    def size(self, full: int) -> int:
        return full // 10 if self.options.quick else full

    def measure(
        self,
        name: str,
        title: str,
        columns: Mapping[str, str],
        contenders: Mapping[str, Callable[[], Result]],
        against: Mapping[str, Callable[[], Result]],
        key: str,
        *,
        ratios: Mapping[str, tuple[str, ...]],
        limit: tuple[str, str] | None = None,
    ) -> None:
        """Run a scenario, keep it and, unless JSON is wanted, print it.

        ``ratios`` says which contenders to compare the first one with, by ``key``; ``limit``
        is a contender that is no peer, and the name of its figure.
        """
        wanted = {**contenders, **({} if self.options.no_peers else against)}
        results = common.repeated(self.rounds, wanted)
        found = {
            text: common.ratio(results, next(iter(contenders)), others, key)
            for text, others in ratios.items()
        }
        if limit is not None:
            other, other_key = limit
            found["the limit"] = common.ratio(
                results, next(iter(contenders)), (other,), key, other_key
            )
        self.scenarios[name] = {"results": results, "ratios": found}
        if not self.options.json:
            common.show(title, results, columns)
            for text, ratio in found.items():
                common.say_ratio(text, ratio)


RATE = {"activities_per_s": "activities/s"}


def compare_chains(run: Run) -> None:
    instances, steps = run.size(200), 5
    run.measure(
        "chains",
        f"{instances} orchestrations of {steps} activities one after another",
        RATE | {"seconds": "seconds"},
        {
            "ostinato": ours("chains", instances=instances, steps=steps, together=False),
            "ostinato, start_many": ours("chains", instances=instances, steps=steps, together=True),
        },
        {
            "durabletask": peer("durabletask", "chains", instances=instances, steps=steps),
            "dbos": peer("dbos", "chains", instances=instances, steps=steps, tuned=False),
            "dbos, tuned": peer("dbos", "chains", instances=instances, steps=steps, tuned=True),
        },
        "activities_per_s",
        ratios={
            "the better peer as installed": ("durabletask", "dbos"),
            "the best peer": ("durabletask", "dbos", "dbos, tuned"),
        },
    )


def compare_fans(run: Run) -> None:
    small, large = run.size(10_000), run.size(100_000)
    run.measure(
        "fan_out",
        f"one fan-out of {small:,} activities (and {large:,})",
        RATE | {"seconds": "seconds", "peak_mb": "peak MB", "kb_per_item": "KB an activity"},
        {
            "ostinato": ours("fan", items=small),
            f"ostinato, {large:,}": ours("fan", items=large),
        },
        {
            "durabletask": peer("durabletask", "fan", items=small),
            "dbos, tuned": peer("dbos", "fan", items=small, tuned=True),
        },
        "activities_per_s",
        ratios={"the best peer": ("durabletask", "dbos, tuned")},
    )


def compare_sequential(run: Run) -> None:
    steps = run.size(5_000)
    short = steps // 10  # durabletask replays the whole history each turn: n activities cost n*n
    run.measure(
        "sequential",
        f"one orchestration of {steps:,} activities one after another",
        RATE
        | {
            "first_per_s": "first tenth",
            "last_per_s": "last tenth",
            "seconds": "seconds",
            "commits_per_s": "commits/s",
        },
        {
            "ostinato": ours("sequential", steps=steps),
            "raw SQLite, one row a commit": raw("commits", rows=steps),
        },
        {
            f"durabletask, {short:,}": peer("durabletask", "chains", instances=1, steps=short),
            "dbos": peer("dbos", "chains", instances=1, steps=steps, tuned=False),
            "dbos, tuned": peer("dbos", "chains", instances=1, steps=steps, tuned=True),
        },
        "activities_per_s",
        ratios={"the best peer": (f"durabletask, {short:,}", "dbos", "dbos, tuned")},
        limit=("raw SQLite, one row a commit", "commits_per_s"),
    )


def compare_parked(run: Run) -> None:
    instances, sample = run.size(10_000), run.size(200)
    run.measure(
        "parked",
        f"{instances:,} instances parked on an event; {sample} of them woken",
        {
            "holds_mb": "MB parked",
            "peak_mb": "peak MB",
            "host_mb": "MB before",
            "activity_ms": "ms to activity",
            "activity_p99_ms": "p99",
            "end_ms": "ms to end",
            "end_p99_ms": "p99",
            "parked_per_s": "parked/s",
        },
        {"ostinato": ours("park", instances=instances, sample=sample)},
        {},
        "holds_mb",
        ratios={},
    )


def compare_limits(run: Run) -> None:
    run.measure(
        "raw_sqlite",
        "raw SQLite, WAL, synchronous=FULL: the limit",
        {"commits_per_s": "commits/s", "rows_per_s": "rows/s"} | RATE,
        {
            "one row a commit": raw("commits", rows=run.size(5_000)),
            "100 rows a commit": raw("batches", rows=run.size(200_000), size=100),
            "our rows, one activity a commit": raw(
                "engine_rows", activities=run.size(5_000), size=1
            ),
            "our rows, 100 activities a commit": raw(
                "engine_rows", activities=run.size(100_000), size=100
            ),
        },
        {},
        "rows_per_s",
        ratios={},
    )


def measure_import(run: Run) -> None:
    """Bare interpreters and importing ones take turns; the difference of the medians."""
    times = 3 if run.options.quick else 15
    took: dict[str, list[float]] = {"pass": [], "import ostinato": []}
    for code in (*took, *(list(took) * times)):  # the first two warm the disk cache
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        took[code].append((time.perf_counter() - began) * 1000)
    medians = {code: statistics.median(values[1:]) for code, values in took.items()}
    figures = {
        "over_bare_ms": medians["import ostinato"] - medians["pass"],
        "bare_ms": medians["pass"],
    }
    run.scenarios["import"] = {"results": {"ostinato": figures}, "ratios": {}}
    if not run.options.json:
        common.show(
            f"import ostinato, {times} interpreters",
            {"ostinato": figures},
            {"over_bare_ms": "ms over bare", "bare_ms": "ms bare"},
        )


SCENARIOS: dict[str, Callable[[Run], None]] = {
    "raw_sqlite": compare_limits,
    "chains": compare_chains,
    "fan_out": compare_fans,
    "sequential": compare_sequential,
    "parked": compare_parked,
    "import": measure_import,
}


def main() -> None:
    run = Run()
    for name, compare in SCENARIOS.items():
        if not run.options.only or name in run.options.only:
            compare(run)
    if run.options.json:
        report = {"machine": common.machine(), "rounds": run.rounds, "scenarios": run.scenarios}
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    common.serve_child(CASES)
    main()
