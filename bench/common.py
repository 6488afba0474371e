"""What the benchmarks share: scratch space on a real disk, children, memory, medians, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

Result: TypeAlias = dict[str, Any]
"""What one child measured: figures by name, and texts such as ``version``."""

HERE = Path(__file__).resolve().parent
CHILD_TIMEOUT = 900.0


class BenchError(Exception):
    """A child failed; the text ends with what it wrote."""


@contextmanager
def scratch() -> Generator[Path, None, None]:
    """A folder that is removed afterwards, on a disk: fsync costs nothing in memory."""
    for place in (Path(tempfile.gettempdir()), HERE):
        if not _in_memory(place):
            break
    else:
        raise BenchError("no disk to write to: set TMPDIR to a folder that is not in memory")
    with tempfile.TemporaryDirectory(prefix="ostinato-bench-", dir=place) as folder:
        yield Path(folder)


def _in_memory(place: Path) -> bool:
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    kinds = {fields[1]: fields[2] for line in mounts if len(fields := line.split()) > 2}
    for parent in (place.resolve(), *place.resolve().parents):
        if str(parent) in kinds:
            return kinds[str(parent)] in {"tmpfs", "ramfs"}
    return False


def memory() -> tuple[float, float]:
    """Megabytes (10**6 bytes) that this process holds now, and the most it ever held."""
    status = Path("/proc/self/status").read_text().splitlines()
    kib = {
        key: rest.split()[0]
        for key, _, rest in (line.partition(":") for line in status)
        if key in {"VmRSS", "VmHWM"}
    }
    return int(kib["VmRSS"]) * 1024 / 1e6, int(kib["VmHWM"]) * 1024 / 1e6


def run_child(python: Path | str, script: Path, case: str, sizes: Mapping[str, Any]) -> Result:
    """Run one case of ``script`` in a process of its own and return what it printed.

    Raises:
        BenchError: It failed, or took longer than `CHILD_TIMEOUT` seconds.
    """
    command = [str(python), str(script), "--child", case, json.dumps(dict(sizes))]
    try:
        with scratch() as folder:  # the child's files go with it, even if it is killed
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=CHILD_TIMEOUT,
                env={**os.environ, "TMPDIR": str(folder)},
            )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{script.name} {case} {dict(sizes)}: {error}") from error
    if done.returncode:
        raise BenchError(f"{script.name} {case} {dict(sizes)} failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def serve_child(cases: Mapping[str, Callable[..., Result]]) -> None:
    """If this process is a child, run its case, print the result and exit."""
    if sys.argv[1:2] != ["--child"]:
        return
    case, sizes = sys.argv[2:4]
    print(json.dumps(cases[case](**json.loads(sizes))), flush=True)
    _leave()


def _leave() -> NoReturn:
    # A peer's worker threads may outlive its own shutdown; the figures are out.
    sys.stdout.flush()
    os._exit(0)


def timed(work: Callable[[], object], least: float = 1.0) -> float:
    """Seconds that ``work`` takes: the median of at least 3 calls and ``least`` seconds."""
    took: list[float] = []
    while len(took) < 3 or sum(took) < least:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def repeated(times: int, contenders: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """Run every contender in turn, ``times`` times over; return the median of each figure.

    ``spread`` is the smallest and the largest value of the first figure. A contender that
    fails is reported by its ``error`` and left out of the rounds that follow.
    """
    rounds: dict[str, list[Result]] = {name: [] for name in contenders}
    failed: dict[str, Result] = {}
    for _ in range(times):
        for name, run in contenders.items():
            if name in failed:
                continue
            try:
                rounds[name].append(run())
            except BenchError as error:
                failed[name] = {"error": str(error)}
    return {name: failed.get(name) or _medians(rounds[name]) for name in contenders}


def _medians(results: Sequence[Result]) -> Result:
    figures = [key for key, value in results[0].items() if isinstance(value, int | float)]
    medians = {key: statistics.median(result[key] for result in results) for key in figures}
    first = [result[figures[0]] for result in results]
    return {**results[0], **medians, "spread": [min(first), max(first)]}


def ratio(
    results: Mapping[str, Result],
    ours: str,
    others: Sequence[str],
    key: str,
    other_key: str | None = None,
) -> Result:
    """How many times the best of ``others`` we are, and which that is; empty without one.

    Their figure is ``other_key``, where it goes by another name than ours.
    """
    theirs = other_key or key
    known = {name: results[name][theirs] for name in others if theirs in results.get(name, {})}
    if not known or key not in results.get(ours, {}):
        return {}
    best = max(known, key=known.__getitem__)
    return {"times": results[ours][key] / known[best], "of": best}


def machine() -> Result:
    """Where this runs."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def show(title: str, results: Mapping[str, Result], columns: Mapping[str, str]) -> None:
    """Print a table: a row a contender, a column a figure (key to heading), and the spread."""
    print(f"\n{title}")
    columns = {**columns, "spread": "lowest - highest"}
    rows = [["", *columns.values()]]
    for name, result in results.items():
        if "error" in result:
            rows.append([name, "failed: " + result["error"].strip().splitlines()[-1]])
        else:
            rows.append([name, *(_text(result.get(key)) for key in columns)])
    complete = [row for row in rows if len(row) == len(columns) + 1]
    widths = [max(len(row[i]) for row in complete) for i in range(len(columns) + 1)]
    widths[0] = max(len(row[0]) for row in rows)
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        print("  " + "  ".join(cells).rstrip())


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case int() | float() if abs(value) >= 100:
            return f"{value:,.0f}"
        case int() | float():
            return f"{value:.3g}"
        case list():
            return " - ".join(map(_text, cast("list[object]", value)))
        case _:
            return str(value)


def say_ratio(text: str, found: Result) -> None:
    """Print a ratio below its table, where there is one."""
    if found:
        print(f"  {text}: {found['times']:.3g} times {found['of']}")


def options(description: str) -> argparse.Namespace:
    """Parse the command line that both benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no tables")
    parser.add_argument("--no-peers", action="store_true", help="measure Ostinato alone")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: a smoke test")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take medians of")
    parser.add_argument("--only", action="append", default=[], help="only this scenario")
    return parser.parse_args()
