"""The reference pipelines, on real files and databases."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import ostinato as ost
from activities.files import (
    FileJob,
    Listing,
    Report,
    ReportFile,
    ingest_file,
    list_files,
    write_report,
)
from activities.sales import SourceFile, clean_source
from orchestrations import app
from ostinato.activities import ActivityCall, CancelToken
from ostinato.errors import CodecError

DATA = Path(__file__).parent / "data" / "sales"


@pytest.fixture
def host() -> Iterator[ost.local.LocalHost]:
    with ost.local.LocalHost(app, store=":memory:") as host:
        yield host


def finish(host: ost.local.LocalHost, name: str, input: Any) -> ost.InstanceStatus:
    return host.client.wait(host.client.start(name, input), timeout=60)


# --- ingest ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "a.py": b"import this\nthis.is_fun()\n",
        "b/latin.txt": b"caf\xe9 au lait\nno end of line",
        "b/picture.png": b"\x89PNG\0\0\0",
        "b/empty.md": b"",
        "c/unicode.txt": "naïve · façade\n".encode(),
        "__pycache__/a.pyc": b"never seen",
        ".git/config": b"never seen",
    }
    for name, content in files.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "files"


def ingest(host: ost.local.LocalHost, folder: Path, **more: Any) -> ost.InstanceStatus:
    report = str(folder.parent / "report.json")
    return finish(host, "ingest", {"folder": str(folder), "report": report, **more})


def test_ingest_counts_files_lines_words_and_bytes(host: ost.local.LocalHost, folder: Path):
    output = ingest(host, folder).output
    assert {key: output[key] for key in ("files", "lines", "words", "bytes")} == {
        "files": 5,
        "lines": 2 + 2 + 1,
        "words": 3 + 7 + 3,
        "bytes": 26 + 27 + 7 + 18,
    }
    assert output["undecodable"] == 1
    kinds = {kind: totals["files"] for kind, totals in output["by_type"].items()}
    assert kinds == {"text": 2, "Markdown": 1, "Python": 1, "binary": 1}
    assert len(output["slowest"]) == 5


def test_ingest_writes_its_report_and_returns_it(host: ost.local.LocalHost, folder: Path):
    output = ingest(host, folder).output
    assert json.loads((folder.parent / "report.json").read_text()) == output
    assert sorted(path.name for path in folder.parent.iterdir()) == ["files", "report.json"]


def test_ingest_selects_by_pattern(host: ost.local.LocalHost, folder: Path):
    assert ingest(host, folder, pattern="*.txt").output["files"] == 2


def test_files_that_fail_now_and_then_are_retried_and_counted_the_same(
    host: ost.local.LocalHost, folder: Path
):
    smooth = ingest(host, folder).output
    flaky = ingest(host, folder, flakiness=0.3).output
    assert flaky["retried"] > 0
    assert all(flaky[key] == smooth[key] for key in ("files", "lines", "words", "bytes"))


def test_a_file_that_always_fails_fails_the_ingest(host: ost.local.LocalHost, folder: Path):
    status = ingest(host, folder, flakiness=1.0)
    assert status.runtime_status == "Failed"
    assert status.failure is not None
    assert status.failure.cause is not None
    assert (status.failure.type, status.failure.cause.task) == ("OSError", "ingest_file")
    assert status.failure.cause.attempt == 5
    assert not (folder.parent / "report.json").exists()


def test_a_folder_that_is_not_there_fails_the_ingest(host: ost.local.LocalHost, tmp_path: Path):
    status = ingest(host, tmp_path / "nowhere")
    assert status.failure is not None
    assert status.failure.type == "NotADirectoryError"


def test_an_empty_folder_gives_an_empty_report(host: ost.local.LocalHost, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert ingest(host, tmp_path / "empty").output["files"] == 0


def test_an_object_is_ingested_as_the_file_that_it_is(host: ost.local.LocalHost, folder: Path):
    (folder.parent / "files" / "b" / "a b.txt").write_text("one two\n")
    (of_all,) = ingest(host, folder, pattern="a b.txt").output["by_type"].values()
    uri = (folder / "b" / "a b.txt").as_uri()
    status = finish(host, "ingest", {"uri": uri, "name": "b/a b.txt", "version": "8-1700000000"})
    assert status.output["by_type"] == {"text": of_all}
    assert status.output["folder"] == folder.as_uri()
    report = folder.parent / "reports" / f"{status.instance_id}.json"
    assert json.loads(report.read_text()) == status.output


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"uri": "file:///incoming/a.txt"}, "needs a `name`"),
        ({"name": "a.txt"}, "needs a `uri` that ends with its name"),
        ({"uri": "file:///incoming/a.txt", "name": "b.txt"}, "needs a `uri` that ends"),
    ],
)
def test_an_object_that_nobody_can_find_is_refused_at_the_start(
    host: ost.local.LocalHost, request_: dict[str, Any], told: str
):
    with pytest.raises(CodecError, match=told):
        host.client.start("ingest", request_)


def test_an_object_of_another_scheme_fails_the_ingest_at_once(host: ost.local.LocalHost):
    failure = finish(host, "ingest", {"uri": "s3://incoming/a.txt", "name": "a.txt"}).failure
    assert failure is not None and failure.cause is not None
    assert (failure.type, failure.cause.attempt) == ("ValueError", 1)
    assert "nothing reads or writes s3://" in failure.message


def test_a_report_that_cannot_be_written_names_the_field_to_change(folder: Path):
    report = Report(
        folder="x", files=0, bytes=0, lines=0, words=0, retried=0, undecodable=0, by_type={}
    )
    path = str(folder / "a.py" / "report.json")
    with pytest.raises(OSError, match=r"a\.py.*report\.json \(.*exists\).*field `report`"):
        write_report(ReportFile(path=path, report=report))


@pytest.mark.skipif(os.name == "nt", reason="needs links and names of any bytes")
def test_links_are_not_followed_and_odd_names_are_reported(
    host: ost.local.LocalHost, tmp_path: Path
):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "link.txt").symlink_to("/etc/hostname")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("one\n")
    output = ingest(host, folder).output
    assert output["files"] == 1
    assert output["skipped"] == {r"caf\xe9.txt": "No such file or directory"}


def test_a_long_file_is_read_in_parts_without_miscounting(tmp_path: Path):
    text = "wörd " * 700_000 + "\n" + "x" * 2_000_000 + "\nend"
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    facts = ingest_file(FileJob(folder=str(tmp_path), path="long.txt"), context())
    assert (facts.lines, facts.words, facts.undecodable) == (3, len(text.split()), False)


def test_one_in_fifty_first_attempts_fails():
    failures = 0
    for number in range(5000):
        try:
            ingest_file(FileJob(folder="x", path=f"{number}.py", flakiness=0.02), context())
        except OSError:
            failures += 1
    assert 50 <= failures <= 150


def test_a_listing_is_sorted(folder: Path):
    names = list_files(Listing(folder=str(folder)))
    assert names == ["a.py", "b/empty.md", "b/latin.txt", "b/picture.png", "c/unicode.txt"]


def context() -> ost.ActivityContext:
    """What an activity called by hand is given."""
    call = ActivityCall(
        instance_id="i", execution_id="e", task_id=1, first_id=1, name="ingest_file"
    )
    return ost.ActivityContext(call, CancelToken())


# --- nightly_etl ---


@pytest.fixture
def request_(tmp_path: Path) -> dict[str, Any]:
    shutil.copytree(DATA, tmp_path / "sales")
    return {
        "business_date": "2026-03-01",
        "folder": str(tmp_path / "sales"),
        "staging": str(tmp_path / "staging"),
        "database": str(tmp_path / "warehouse.db"),
    }


def rows(request: dict[str, Any]) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(request["database"])) as database:
        return database.execute("SELECT * FROM daily_sales ORDER BY 1, 2, 3").fetchall()


def test_a_day_is_loaded_with_its_totals(host: ost.local.LocalHost, request_: dict[str, Any]):
    status = finish(host, "nightly_etl", request_)
    assert status.output["rows"] == {"shop": 60, "web": 40, "returns": 5}
    assert status.output["rejected"] == {"shop": 1, "web": 1, "returns": 0}
    loaded = rows(request_)
    assert sum(row[4] for row in loaded) == status.output["cents"]
    assert sum(row[3] for row in loaded) == status.output["units"]
    best = [total["cents"] for total in status.output["best"]]
    assert best == sorted(best, reverse=True)
    assert status.custom_status == {"business_date": "2026-03-01", "stage": "loaded"}


def test_loading_a_day_again_changes_nothing(host: ost.local.LocalHost, request_: dict[str, Any]):
    first = finish(host, "nightly_etl", request_).output
    before = rows(request_)
    assert finish(host, "nightly_etl", request_).output == first
    assert rows(request_) == before


def test_a_correction_replaces_the_day_and_leaves_other_days(
    host: ost.local.LocalHost, request_: dict[str, Any]
):
    shutil.copytree(DATA / "2026-03-01", Path(request_["folder"]) / "2026-02-28")
    for path in (Path(request_["folder"]) / "2026-02-28").iterdir():
        path.write_text(path.read_text().replace("2026-03-01", "2026-02-28"))
    finish(host, "nightly_etl", {**request_, "business_date": "2026-02-28"})
    finish(host, "nightly_etl", request_)
    both = rows(request_)
    correction = Path(request_["folder"]) / "2026-03-01" / "shop.csv"
    correction.write_text("date,product,units,price\n2026-03-01,scale,1,1.00\n")
    finish(host, "nightly_etl", request_)
    after = rows(request_)
    assert [r for r in after if r[0] == "2026-02-28"] == [r for r in both if r[0] == "2026-02-28"]
    assert [r for r in after if r[:2] == ("2026-03-01", "shop")] == [
        ("2026-03-01", "shop", "scale", 1, 100)
    ]


def test_a_tick_of_the_schedule_loads_the_day_before(
    host: ost.local.LocalHost, request_: dict[str, Any]
):
    del request_["business_date"]
    tick = {"name": "nightly_etl", "at": datetime(2026, 3, 2, 2, 30, tzinfo=UTC)}
    assert finish(host, "nightly_etl", {**request_, **tick}).output["business_date"] == "2026-03-01"


def test_too_many_rejects_fail_loudly_and_load_nothing(
    host: ost.local.LocalHost, request_: dict[str, Any]
):
    status = finish(host, "nightly_etl", {**request_, "business_date": "2026-03-02"})
    assert status.failure is not None
    assert status.failure.type == "QualityGateError"
    assert "web: 10 of 41 rows rejected (line 1: price 'n/a' is no number" in status.failure.message
    assert not Path(request_["database"]).exists()


def test_a_source_that_is_not_delivered_fails_the_day_after_its_retries(
    request_: dict[str, Any],
):
    (Path(request_["folder"]) / "2026-03-01" / "web.jsonl").unlink()
    clock = ost.testing.ManualClock()
    with ost.local.LocalHost(app, store=":memory:", clock=clock) as host:
        instance_id = host.client.start("nightly_etl", request_)
        for _ in range(3):
            host.settle(60)
            clock.advance(60)
        status = host.client.wait(instance_id, timeout=60)
    assert status.failure is not None
    assert status.failure.type == "FileNotFoundError"
    assert "source 'web' has no file for 2026-03-01" in status.failure.message


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2026-03-02,scale,1,1", "date '2026-03-02' is not 2026-03-01"),
        ("2026-03-01, ,1,1", "product is missing"),
        ("2026-03-01,scale,1.5,1", "units '1.5' is no whole number"),
        ("2026-03-01,scale,one,1", "units 'one' is no number"),
        ("2026-03-01,scale,1,NaN", "price 'NaN' is out of range"),
        ("2026-03-01,scale,1,1e999999", "price '1e999999' is out of range"),
        ("2026-03-01,scale,1", "price None is no number"),
    ],
)
def test_a_row_that_makes_no_sense_is_rejected_with_its_line(
    tmp_path: Path, row: str, problem: str
):
    path = tmp_path / "shop.csv"
    path.write_text(f"date,product,units,price\n2026-03-01,scale,2,1.005\n{row}\n")
    source = SourceFile(
        source="shop", path=str(path), staging=str(tmp_path), business_date=date(2026, 3, 1)
    )
    staged = clean_source(source)
    assert (staged.accepted, staged.rejected) == (1, 1)
    assert staged.examples == [f"line 3: {problem}"]
    assert clean_source(replace(source)) == staged
