"""Load a day's sales: fetch the sources in parallel, clean, check, aggregate, report."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import ostinato as ost
from activities.sales import (
    Load,
    ProductTotal,
    SourceFile,
    StagedFile,
    clean_source,
    fetch_source,
    load_day,
)

app = ost.App("nightly_etl")


class QualityGateError(Exception):
    """Too many rows were rejected: the day is not loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtlRequest:
    """Which day to load, from where, to where. A tick of the schedule is one, too."""

    business_date: date | None = None
    """By default the day before the one on which the schedule ticked."""
    at: datetime | None = None
    """The instant of the tick; by default now."""
    folder: str = "data/sales"
    """Holds a folder for each day, e.g. ``2026-03-01/shop.csv``."""
    sources: tuple[str, ...] = ("shop.csv", "web.jsonl", "returns.csv")
    staging: str = "data/staging"
    database: str = "data/warehouse.db"
    max_rejected: float = 0.05
    """The share of a source's rows that may be rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """What was loaded."""

    business_date: date
    rows: dict[str, int]
    """Rows accepted, by source."""
    rejected: dict[str, int]
    units: int
    cents: int
    best: list[ProductTotal]
    """The products that brought in most."""


@app.orchestration(triggers=[ost.Schedule("30 2 * * *")], raises=[QualityGateError])
def nightly_etl(
    ctx: ost.OrchestrationContext, request: EtlRequest
) -> Generator[Any, Any, DayReport]:
    """Load one day; to backfill, start it with the ``business_date`` of a past one.

    Raises:
        QualityGateError: A source had too many rejects; nothing was loaded.
    """
    day = request.business_date or _day_before(request.at or ctx.current_utc_datetime)
    ctx.set_custom_status({"business_date": day, "stage": "fetching"})
    children = [
        ctx.call_sub_orchestrator(stage_source, _source_file(request, name, day))
        for name in request.sources
    ]
    staged = yield from ctx.task_all(children)
    check_quality(staged, request.max_rejected)
    ctx.set_custom_status({"business_date": day, "stage": "loading"})
    totals = yield from ctx.call_activity(
        load_day, Load(database=request.database, business_date=day, staged=staged)
    )
    ctx.set_custom_status({"business_date": day, "stage": "loaded"})
    return DayReport(
        business_date=day,
        rows={file.source: file.accepted for file in staged},
        rejected={file.source: file.rejected for file in staged},
        units=sum(total.units for total in totals),
        cents=sum(total.cents for total in totals),
        best=totals[:5],
    )


@app.orchestration
def stage_source(
    ctx: ost.OrchestrationContext, source: SourceFile
) -> Generator[Any, Any, StagedFile]:
    """Bring one source's rows, cleaned, to the staging folder."""
    copy = yield from ctx.call_activity(fetch_source, source)
    return (yield from ctx.call_activity(clean_source, replace(source, path=copy)))


def check_quality(staged: Sequence[StagedFile], max_rejected: float) -> None:
    """Raise QualityGateError, naming each source with too many rejects and its first rows."""
    if not any(file.accepted for file in staged):
        raise QualityGateError("no source has a single good row")
    failures = [
        f"{file.source}: {file.rejected} of {file.accepted + file.rejected} rows rejected"
        f" ({'; '.join(file.examples)})"
        for file in staged
        if file.rejected > max_rejected * (file.accepted + file.rejected)
    ]
    if failures:
        raise QualityGateError(f"over {max_rejected:.0%} of " + ", and of ".join(failures))


def _day_before(instant: datetime) -> date:
    return instant.date() - timedelta(days=1)


def _source_file(request: EtlRequest, name: str, day: date) -> SourceFile:
    return SourceFile(
        source=name.partition(".")[0],
        path=f"{request.folder}/{day}/{name}",
        staging=request.staging,
        business_date=day,
    )
