"""Azure: replay of a large history and a cold import beside azure-functions-durable's, and fan-out
on the stand-in.

Run it in the development environment: ``.venv/bin/python bench/azure_host.py``.
"""

from __future__ import annotations

import importlib
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import ostinato as ost
import ostinato_azure
from ostinato.local.clock import SystemClock
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato_azure.classic import respond
from ostinato_azure.functions import Functions

ROOT = Path(__file__).parent.parent
COUNT = 10_000
ROUNDS = 3
app = ost.App("bench")


@app.activity
def work(number: int) -> int:
    return number


@app.orchestration
def fan_out(ctx: ost.OrchestrationContext, count: int) -> Generator[Any, Any, int]:
    return len((yield ctx.task_all([ctx.call_activity(work, n) for n in range(count)])))


def request(count: int) -> str:
    """The extension's request with a fan-out of ``count`` activities that are all done."""
    stamp = "2030-01-01T00:00:00.0000000Z"

    def event(kind: int, **more: Any) -> dict[str, Any]:
        base = {"EventType": kind, "EventId": -1, "IsPlayed": True, "Timestamp": stamp}
        return {**base, **more}

    instance = {"InstanceId": "i", "ExecutionId": "e"}
    started = event(
        0, Name="fan_out", Version=None, Input=str(count), OrchestrationInstance=instance
    )
    history = [event(12), started]
    history += [event(4, EventId=n, Name="work", Input=None) for n in range(count)]
    history += [event(13), event(12)]
    history += [event(5, TaskScheduledId=n, Result=str(n), IsPlayed=False) for n in range(count)]
    body = {
        "history": history,
        "input": count,
        "instanceId": "i",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
    }
    return json.dumps(body)


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compare_replay() -> None:
    durable: Any = importlib.import_module("azure.durable_functions")

    def theirs(context: Any) -> Generator[Any, Any, int]:
        results: Any = yield context.task_all(
            [context.call_activity("work", n) for n in range(COUNT)]
        )
        return int(results[-1])

    text = request(COUNT)
    around = Functions(app, ostinato_azure.function_app(app), grpc=False).around
    orchestrator = durable.Orchestrator.create(theirs)

    class Body:
        body = text

    pairs = [
        (seconds(lambda: respond(text, around)), seconds(lambda: orchestrator(Body())))
        for _ in range(ROUNDS)
    ]
    ours, others = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"replay of {COUNT:,} activities: {ours:.3f} s, azure-functions-durable {others:.3f} s, "
        f"ratio {ours / others:.3f}"
    )


def fan_out_on_the_stand_in(messages: int) -> None:
    """Time fan-outs where a turn takes up to so many messages."""
    worker = DirectWorker(ostinato_azure.function_app(app))
    functions = DurableFunctions(worker, ClientBindings(lambda binding: "{}"))
    options = HubOptions(control_queue_buffer=messages)

    def per_item(count: int) -> float:
        with TaskHub(functions, clock=SystemClock(), options=options) as hub:

            def run() -> None:
                instance = hub.start("fan_out", str(count))
                hub.settle(600)
                assert hub.get(instance).output == str(count)

            return seconds(run) / count

    pairs = [(per_item(200), per_item(2_000)) for _ in range(ROUNDS)]
    few, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"fan-out on the stand-in, {messages} messages a turn: {1e3 * few:.2f} ms an item at 200, "
        f"{1e3 * many:.2f} at 2,000, ratio {many / few:.2f}"
    )


BARE = """
import azure.durable_functions as df
app = df.DFApp()
@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("work", 1))
@app.activity_trigger(input_name="number")
def work(number: int) -> int:
    return number
app.get_functions()
"""


def compare_cold_import() -> None:
    """Start a Python that loads this repository's function app, and one with a bare Durable app."""
    ours = "import function_app; function_app.app.get_functions()"

    def start(code: str) -> float:
        command = [sys.executable, "-W", "ignore", "-c", code]
        return seconds(
            lambda: subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        )

    pairs = [(start(ours), start(BARE)) for _ in range(15)]
    mine, others = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"cold import: {mine:.3f} s, a bare app of azure-functions-durable {others:.3f} s, "
        f"ratio {mine / others:.2f}"
    )


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    compare_replay()
    compare_cold_import()
    fan_out_on_the_stand_in(256)  # as in the host.json that we write
    fan_out_on_the_stand_in(32)
