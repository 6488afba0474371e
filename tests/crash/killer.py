"""Kill the engine with SIGKILL again and again under load, and see whether anything is amiss.

    python -m tests.crash.killer --kills 200 --seed 1

A process executes a task hub in a file: chains, fan-outs, bounded maps with retries, children,
timers, events and eternal orchestrations. This one starts instances and sends events through
``ost.local.connect``, some of them twice, and kills the other at random moments, while it starts
as well. In the end every instance must have completed with the right output, every event must
have been taken once, and no history may hold a duplicate or a gap. The exit code is 1 otherwise.

Activities are innocent here, so ``max_crashes`` is out of reach: with its default of 5, one that
happened to be running at five kills would be failed, as it should be in earnest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import IO, Any

import ostinato as ost
from ostinato import events as ev
from ostinato.client import Client, Query, RuntimeStatus, Start
from ostinato.errors import InstanceFinishedError
from ostinato.local.sqlite import SqliteStore
from ostinato.testing.crashes import check_hub

UNFINISHED = 60
"""Instances that are kept under way."""

LAST_RUN = 120.0
"""Seconds that what is left at the last kill may take."""

NEVER = 1_000_000

app = ost.App("killed")


# What runs


@app.activity
def add(pair: list[int]) -> int:
    return sum(pair)


@app.activity
async def square(number: int) -> int:
    return number * number


@app.activity
def flaky(number: int, context: ost.ActivityContext) -> int:
    if context.attempt <= number % 3:
        raise ValueError(f"attempt {context.attempt} fails")
    return number


@app.orchestration
def chain(ctx: ost.OrchestrationContext, length: int):
    total = 0
    for n in range(length):
        total = yield ctx.call_activity(add, [total, n])
    return total


@app.orchestration
def fan_out(ctx: ost.OrchestrationContext, width: int):
    squares = yield ctx.task_all([ctx.call_activity(square, n) for n in range(width)])
    return sum(squares)


@app.orchestration
def mapped(ctx: ost.OrchestrationContext, width: int):
    retry = ost.RetryPolicy(max_attempts=3, first_delay=0.01)
    numbers = yield ctx.map(flaky, range(width), max_concurrency=3, retry=retry)
    return sum(numbers)


@app.orchestration
def family(ctx: ost.OrchestrationContext, size: int):
    children = [ctx.call_sub_orchestrator(chain, n) for n in range(size)]
    children.append(ctx.call_sub_orchestrator(mapped, size))
    return sum((yield ctx.task_all(children)))


@app.orchestration
def timers(ctx: ost.OrchestrationContext, count: int):
    for n in range(count):
        short = ctx.create_timer(timedelta(milliseconds=5 * n))
        long = ctx.create_timer(timedelta(days=30))
        winner = yield ctx.task_any([long, short])
        assert winner is short
        long.cancel()
    return count


@app.orchestration
def events(ctx: ost.OrchestrationContext, count: int):
    taken = []
    for _ in range(count):
        taken.append((yield ctx.wait_for_external_event("event")))
        yield ctx.call_activity(add, taken[-1:])
    return sorted(taken)


@app.orchestration
def rounds(ctx: ost.OrchestrationContext, given: dict[str, Any]):
    taken = [*given["taken"], (yield ctx.wait_for_external_event("event"))]
    yield ctx.call_activity(square, len(taken))
    if len(taken) < given["count"]:
        ctx.continue_as_new({"count": given["count"], "taken": taken})
    return sorted(taken)


def expected(kind: str, size: int) -> Any:
    """The output of an instance of this kind."""
    match kind:
        case "chain" | "mapped":
            return sum(range(size))
        case "fan_out":
            return sum(n * n for n in range(size))
        case "family":
            return sum(sum(range(n)) for n in range(size)) + sum(range(size))
        case "timers":
            return size
        case _:
            return list(range(size))


def work(path: str) -> None:
    """Execute the hub until the other end of the standard input is closed."""
    with ost.local.LocalHost(app, path, max_crashes=NEVER, poll_interval=0.02) as host:
        print("recovered", host.recovered, file=sys.stderr, flush=True)
        print("ready", flush=True)
        sys.stdin.read()


# What kills


@dataclass
class Report:
    """What happened."""

    kills: int = 0
    kills_at_start: int = 0
    """Before the host was ready."""
    instances: Counter[str] = field(default_factory=Counter[str])
    events: int = 0
    repeated: int = 0
    """Events that were sent again."""
    activities: int = 0
    history: int = 0
    """Events in the histories of the last generations."""
    recovered: int = 0
    """Instances that were found unfinished when a host started, in all."""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.instances.items()))
        lines = [
            f"{self.kills} kills ({self.kills_at_start} while starting) in {self.seconds:.0f} s",
            f"{self.instances.total()} instances completed: {kinds}",
            f"{self.events} events sent, {self.repeated} of them again",
            f"{self.history} events in histories, {self.activities} activity attempts",
            f"{self.recovered} times an instance was found unfinished at a start, and went on",
            f"{len(self.violations)} violations",
            *self.violations,
        ]
        return "\n".join(lines)


class Load:
    """Starts instances and sends events; knows what must come of it."""

    def __init__(self, client: Client, random: Random, report: Report) -> None:
        self._client = client
        self._random = random
        self._report = report
        self._unsent: dict[str, list[int]] = {}
        self._sent: list[tuple[str, int]] = []
        self.wanted: dict[str, Any] = {}

    def unfinished(self) -> int:
        """How many instances, children included, have not ended."""
        states = tuple(status for status in RuntimeStatus if not status.is_finished)
        return len(self._client.list_instances(Query(status=states, page_size=1000)).instances)

    def fill_up(self) -> None:
        """Start instances until there are enough under way."""
        missing = UNFINISHED - self.unfinished()
        self._client.start_many([self._start() for _ in range(missing)])

    def _start(self) -> Start:
        kinds = ("chain", "fan_out", "mapped", "family", "timers", "events", "rounds")
        kind, size = self._random.choice(kinds), self._random.randint(1, 8)
        instance_id = f"{kind}-{len(self.wanted)}"
        self.wanted[instance_id] = expected(kind, size)
        self._report.instances[kind] += 1
        if kind in ("events", "rounds"):
            self._unsent[instance_id] = list(range(size))
        given = {"count": size, "taken": []} if kind == "rounds" else size
        return Start(name=kind, input=given, instance_id=instance_id)

    def send_some(self, share: float) -> None:
        """Send about this share of the events that are left, and some of the sent ones again."""
        for instance_id, left in list(self._unsent.items()):
            while left and self._random.random() < share:
                number = left.pop(self._random.randrange(len(left)))
                self._client.raise_event(instance_id, "event", number, event_id=str(number))
                self._report.events += 1
                self._sent.append((instance_id, number))
            if not left:
                del self._unsent[instance_id]
        for instance_id, number in self._random.sample(self._sent, min(3, len(self._sent))):
            self._report.events += 1
            self._report.repeated += 1
            with suppress(InstanceFinishedError):  # it has taken the event, and all others
                self._client.raise_event(instance_id, "event", number, event_id=str(number))


def run(path: Path, kills: int, seed: int) -> Report:
    """Kill the executor of the hub in this (new) file so often, and check what is left."""
    random = Random(seed)
    report = Report()
    began = time.monotonic()
    log = path.with_suffix(".log")
    SqliteStore(path).close()
    with log.open("w") as errors, ost.local.connect(path, app) as hub:
        load = Load(hub.client, random, report)
        for _ in range(kills):
            load.fill_up()
            _run_and_kill(path, errors, load, random, report)
        worker = _spawn(path, errors)
        load.send_some(1.0)
        _await(load, report)
        worker.communicate()
        _compare(hub.client, load, report)
    _inspect(path, log.read_text(), report)
    report.seconds = time.monotonic() - began
    return report


def _spawn(path: Path, errors: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--worker", str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def _run_and_kill(path: Path, errors: IO[str], load: Load, random: Random, report: Report) -> None:
    with _spawn(path, errors) as worker:
        assert worker.stdout is not None
        while_starting = random.random() < 0.2
        if not while_starting and worker.stdout.readline() != "ready\n":
            report.violations.append(f"the host ended by itself, with {worker.wait()}")
        deadline = time.monotonic() + random.uniform(0, 0.5)
        load.send_some(0.3)
        time.sleep(max(0.0, deadline - time.monotonic()))
        worker.kill()
        report.kills += 1
        report.kills_at_start += while_starting


def _await(load: Load, report: Report) -> None:
    deadline = time.monotonic() + LAST_RUN
    while load.unfinished():
        if time.monotonic() > deadline:
            report.violations.append(f"{load.unfinished()} instances have not ended")
            return
        time.sleep(0.1)


def _compare(client: Client, load: Load, report: Report) -> None:
    for instance_id, wanted in load.wanted.items():
        status = client.get_status(instance_id)
        if status.runtime_status is not RuntimeStatus.COMPLETED or status.output != wanted:
            report.violations.append(f"expected the output {wanted!r}: {status}")


def _inspect(path: Path, log: str, report: Report) -> None:
    """Look at the histories, and for what is left over."""
    report.recovered = sum(map(int, re.findall(r"^recovered (\d+)$", log, re.MULTILINE)))
    if "Traceback" in log:
        report.violations.append(f"the engine failed: {log[log.index('Traceback') :][:2000]}")
    with closing(SqliteStore(path)) as store:
        try:
            check_hub(store)
        except AssertionError as error:
            report.violations.append(str(error))
        left = [*store.work(), *store.inbox(0, 10), *filter(None, [store.next_due()])]
        if left:
            report.violations.append(f"left over: {left}")
        page: str | None = None
        while True:
            heads, page = store.instances(Query(page=page, page_size=1000))
            for head in heads:
                history = store.history(head.instance_id)
                report.history += len(history)
                report.activities += sum(isinstance(e, ev.TaskScheduled) for e in history)
            if page is None:
                return


def main() -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.killer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200, help="how often (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the load")
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder) / "killed.db", options.kills, options.seed)
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
