"""What the README and the documentation say is true: their code runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """Something a reader would do: a program to run, and what it prints."""

    command: list[str]
    prints: str | None = None


def follow(page: Path, folder: Path) -> Iterator[Step]:
    """Write the page's code below ``folder``; give what is then to be run, in order.

    A block that begins with a file's name is that file; the others are one program. Of console
    blocks the lines after ``$ `` are run, and print what follows.
    """
    consoles, program = list[str](), list[str]()
    for kind, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind == "console":
            consoles.append(block)
        elif named := re.match(r"# (\w+\.py)\n", block):
            (folder / named[1]).write_text(block, encoding="utf-8")
        else:
            program.append(block)
    for console in consoles:
        for entry in console.split("$ ")[1:]:
            line, _, prints = entry.partition("\n")
            command, *arguments = shlex.split(line)
            assert command == "ostinato"
            yield Step([sys.executable, "-m", "ostinato.cli", *arguments], prints)
    if program:
        (folder / "page.py").write_text("\n\n".join(program), encoding="utf-8")
        yield Step([sys.executable, "-W", "error", "page.py"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    for step in follow(page, tmp_path):
        done = subprocess.run(
            step.command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert step.prints in (None, done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []
