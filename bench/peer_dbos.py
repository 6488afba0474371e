"""DBOS on SQLite: workflows of steps, as installed and with the settings that suit it best.

As installed it keeps a rollback journal and many threads that wait for one another's
transactions; a write-ahead log and two threads were the fastest of those tried.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import common
from dbos import DBOS, DBOSConfig


@DBOS.step()
def add_one(value: int) -> int:
    return value + 1


@DBOS.workflow()
def chain(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = add_one(value)
    return value


@DBOS.step()
async def add_one_async(value: int) -> int:
    return value + 1


@DBOS.workflow()
async def fan_out(items: int) -> int:
    return sum(await asyncio.gather(*[add_one_async(i) for i in range(items)]))


@contextmanager
def running(tuned: bool):
    journal = "wal" if tuned else "delete"
    with common.scratch() as folder:
        file = folder / "dbos.sqlite"
        _prepare(file, journal)
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": f"sqlite:///{file}",
            "log_level": "ERROR",
            "application_version": "1",
        }
        if tuned:
            config["max_executor_threads"] = 2
        DBOS(config=config)
        DBOS.launch()
        try:
            assert DBOS.start_workflow(chain, 1).get_result() == 1
            yield
        finally:
            DBOS.destroy()
        _check(file, journal)


def _prepare(file: Path, journal: str) -> None:
    # The journal mode is a property of the file, so it holds for DBOS's own connections;
    # their PRAGMA synchronous stays SQLite's default, FULL.
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.close()


def _check(file: Path, journal: str) -> None:
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchone() == (journal,)
    connection.close()


def chains(instances: int, steps: int, tuned: bool):
    with running(tuned):
        began = time.perf_counter()
        handles = [DBOS.start_workflow(chain, steps) for _ in range(instances)]
        assert all(handle.get_result() == steps for handle in handles)
        took = time.perf_counter() - began
    return _figures(instances * steps, took)


def fan(items: int, tuned: bool):
    with running(tuned):
        before = common.memory()[0]
        began = time.perf_counter()
        assert asyncio.run(_fanned_out(items)) == items * (items + 1) // 2
        took = time.perf_counter() - began
    peak = common.memory()[1]
    return _figures(items, took) | {"peak_mb": peak, "kb_per_item": (peak - before) * 1000 / items}


async def _fanned_out(items: int) -> int:
    handle = await DBOS.start_workflow_async(fan_out, items)
    return await handle.get_result()


def _figures(activities: int, took: float):
    return {"activities_per_s": activities / took, "seconds": took, "version": version("dbos")}


if __name__ == "__main__":
    common.serve_child({"chains": chains, "fan": fan})
