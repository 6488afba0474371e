"""What type checkers make of orchestrators: `tests/typing` is checked, never run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"
ROOT = HERE.parent.parent
TASKS = HERE / "tasks.py"
MISTAKES = """\
from __future__ import annotations

from collections.abc import Generator
from typing import Any

import ostinato as ost

app = ost.App("mistakes")


@app.activity
def length(text: str) -> int:
    return len(text)


@app.activity
def now() -> str:
    return ""


@app.orchestration
def mistaken(ctx: ost.OrchestrationContext) -> Generator[Any, Any, None]:
    text: str = yield from ctx.call_activity(length, "a")  # error
    yield from ctx.call_activity(length, 5)  # error
    yield from ctx.map(length, [1, 2])  # error
    yield from ctx.task_all([1, 2])  # error
    yield from ctx.create_timer(5)  # error
    event: int = yield from ctx.wait_for_external_event("e", str)  # error
    fine: int = yield from ctx.call_activity(length, "a")
"""
"""Every line marked ``error`` must be refused, and no other."""


def mypy(file: Path) -> set[int]:
    """Lines that mypy refuses."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(rf"{re.escape(file.name)}:(\d+): error", done.stdout)
    assert bool(found) == bool(done.returncode), done.stdout
    return {int(line) for line in found}


def pyright(file: Path) -> set[int]:
    """Lines that pyright refuses."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--outputjson", str(file)]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


Checker = Callable[[Path], set[int]]
CHECKERS = [mypy, pyright]


@pytest.mark.parametrize("check", CHECKERS)
def test_yield_from_gives_what_the_function_promises(check: Checker) -> None:
    assert check(TASKS) == set()


@pytest.mark.parametrize("check", CHECKERS)
def test_mistakes_are_found_where_they_are(check: Checker, tmp_path: Path) -> None:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES)
    lines = enumerate(MISTAKES.splitlines(), 1)
    assert check(file) == {number for number, line in lines if line.endswith("# error")}


def test_every_package_of_the_wheel_tells_checkers_that_it_has_types():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [package for package in packages if not (ROOT / package / "py.typed").is_file()] == []
