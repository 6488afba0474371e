"""``make demo``: ingest a real folder, durably. Kill it at any moment and run it again."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

import orchestrations
from activities.files import Report, TypeTotals
from ostinato.cli.commands import run_live
from ostinato.cli.display import failed
from ostinato.cli.outcome import ExitCode, UsageError
from ostinato.cli.running import Result, Run
from ostinato.cli.targets import LocalTarget
from ostinato.errors import OstinatoError

STORE = Path(".demo/ostinato.db")


def main(folder: Path) -> int:
    """Ingest ``folder``, or go on with it, show the report, and return the exit code."""
    console = Console(stderr=True)
    if not folder.is_dir():
        console.print(f"error: {folder} is no folder", style="red", soft_wrap=True)
        return ExitCode.USAGE
    request = demo_run(folder)
    STORE.parent.mkdir(exist_ok=True)
    console.print(f"ingesting {folder} (kill me, run me again)", highlight=False, markup=False)
    try:
        result = run_live(request, console)
    except (UsageError, OstinatoError) as error:
        console.print(f"error: {error}", style="red", highlight=False, markup=False)
        return ExitCode.USAGE
    _show(result, console)
    return result.code


def demo_run(folder: Path) -> Run:
    """The instance of this folder: the same whenever it is asked for."""
    instance_id = f"demo-{hashlib.sha256(str(folder).encode(errors='replace')).hexdigest()[:12]}"
    return Run(
        app=orchestrations.app,
        orchestration="ingest",
        input={
            "folder": str(folder),
            "flakiness": 0.02,
            "report": f"{STORE.parent}/{instance_id}.json",
        },
        target=LocalTarget(STORE),
        instance_id=instance_id,
        if_exists="replace_finished",
    )


def _show(result: Result, console: Console) -> None:
    if result.code is ExitCode.COMPLETED and result.status:
        report = msgspec.convert(result.status.output, Report)
        console.print(*_tables(report, _retries(result)), sep="\n")
        console.print(
            f"its history: .venv/bin/ostinato history {result.instance_id} --store {STORE}",
            highlight=False,
            soft_wrap=True,
        )
    elif result.status:
        console.print(failed(result.status))
    else:
        console.print("stopped; run it again and it goes on where it was")


def _retries(result: Result) -> int:
    """How many attempts at files were not the first, as the progress counts them."""
    of_files = result.progress and result.progress.by_activity.get("ingest_file")
    return of_files.retried if of_files else 0


def _tables(report: Report, retries: int) -> Iterator[Table]:
    totals = Table("type", title=f"{report.folder}", title_justify="left", title_style="bold")
    for column in ("files", "lines", "words", "bytes"):
        totals.add_column(column, justify="right")
    for kind, of_kind in report.by_type.items():
        totals.add_row(kind, *_numbers(of_kind))
    totals.add_section()
    totals.add_row("all", *_numbers(report), style="bold")
    yield totals
    slowest = Table.grid(padding=(0, 2))
    for path, seconds in report.slowest:
        slowest.add_row("slowest", f"{seconds * 1000:,.1f} ms", path)
    slowest.add_row(
        "retried",
        f"{report.retried:,}",
        f"files, in {retries:,} retries: some attempts fail on purpose",
    )
    slowest.add_row("not UTF-8", f"{report.undecodable:,}", "files")
    slowest.add_row("skipped", f"{len(report.skipped):,}", "files that could not be read")
    yield slowest


def _numbers(totals: Report | TypeTotals) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in (totals.files, totals.lines, totals.words, totals.bytes))


if __name__ == "__main__":
    default = Path(sysconfig.get_path("stdlib"))
    sys.exit(main(Path(sys.argv[1]).expanduser().resolve() if len(sys.argv) > 1 else default))
