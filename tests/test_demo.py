"""``make demo``, on a small folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(300):
        (folder / f"module_{number}.py").write_text(f"answer = {number}\n" * (number + 1))
    return folder


def demo(folder: Path, work: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "demo.py"), str(folder)],
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
    )


def totals(work: Path) -> dict[str, int]:
    (report,) = (work / ".demo").glob("demo-*.json")
    content = json.loads(report.read_text())
    return {key: content[key] for key in ("files", "lines", "words", "bytes")}


def expected(folder: Path) -> dict[str, int]:
    texts = [path.read_text() for path in folder.iterdir()]
    return {
        "files": len(texts),
        "lines": sum(text.count("\n") for text in texts),
        "words": sum(len(text.split()) for text in texts),
        "bytes": sum(map(len, texts)),
    }


def shown(process: subprocess.Popen[str]) -> str:
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told
    return told


def test_the_demo_ends_with_a_report_and_says_how_to_look_at_the_history(
    folder: Path, tmp_path: Path
):
    told = shown(demo(folder, tmp_path))
    assert totals(tmp_path) == expected(folder)
    for part in ("Python", "slowest", "retried", "ostinato history demo-"):
        assert part in told


def test_the_report_counts_retries_as_the_progress_does(folder: Path, tmp_path: Path):
    told = shown(demo(folder, tmp_path))
    retries = re.search(r"ingest_file .* (\d+) retries", told)
    assert retries is not None, told
    files = re.search(rf"retried +(\d+) +files, in {retries[1]} retries", told)
    assert files is not None, told
    assert 0 < int(files[1]) <= int(retries[1])


def test_a_finished_demo_starts_afresh(folder: Path, tmp_path: Path):
    shown(demo(folder, tmp_path))
    (folder / "module_0.py").write_text("one more line\n" * 1000)
    shown(demo(folder, tmp_path))
    assert totals(tmp_path) == expected(folder)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_demo_continues_and_reports_the_same(folder: Path, tmp_path: Path):
    told = list[str]()
    for _ in range(3):
        process = demo(folder, tmp_path)
        assert process.stderr is not None
        for line in process.stderr:
            told.append(line)
            if line.startswith(("started", "continuing")):
                break
        process.kill()
        process.communicate(timeout=60)
    last = shown(demo(folder, tmp_path))
    assert any("activities were done" in line for line in [*told, last])
    assert totals(tmp_path) == expected(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    process = demo(tmp_path / "nowhere", tmp_path)
    told = process.communicate(timeout=60)[1]
    assert (process.returncode, told.count("\n")) == (2, 1)
    assert "nowhere is no folder" in told.replace("\n", "")
