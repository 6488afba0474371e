"""Ingest a folder, or a blob that arrived: list the files, measure each, report."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import ostinato as ost
from activities.files import (
    FileFacts,
    FileJob,
    Listing,
    ObjectJob,
    Report,
    ReportFile,
    TypeTotals,
    ingest_file,
    ingest_object,
    list_files,
    write_report,
)
from ostinato.triggers import HttpAuth

app = ost.App("ingest")


LANDING = "incoming"
"""The container that blobs arrive in, and the folder that is ingested by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What to ingest, and how: a folder, or an object; the event of a blob asks for the blob."""

    folder: str = LANDING
    pattern: str = "*"
    max_concurrency: int = 16
    flakiness: float = 0.0
    """The share of attempts that fail on purpose, to see retries at work."""
    report: str | None = None
    """Where the report is written, a path or a URI; by default ``reports/INSTANCE.json``, beside
    the container of an object."""
    uri: str | None = None
    """The object to ingest instead of a folder: a blob in Azure Storage, or ``file://``."""
    name: str | None = None
    """The object's path within its container."""
    version: str | None = None
    """The object's version: where a blob has another by now, it is reported as skipped."""

    def __post_init__(self) -> None:
        if self.name is not None and not unquote(self.uri or "").endswith(f"/{self.name}"):
            raise ValueError(f"the object {self.name!r} needs a `uri` that ends with its name")
        if self.uri is not None and self.name is None:
            raise ValueError("the object of a `uri` needs a `name`, its path in its container")


@app.orchestration(
    triggers=[
        # A request names files to read and to write: nobody without the key may make one.
        ost.Http("ingest", auth=HttpAuth(key_env="INGEST_KEY")),
        ost.Queue("ingest"),
        ost.Blob(f"{LANDING}/{{name}}"),
    ]
)
def ingest(ctx: ost.OrchestrationContext, request: IngestRequest) -> Generator[Any, Any, Report]:
    """List the folder's files, measure each, write a report and return it."""
    place = f"reports/{ctx.instance_id.replace(':', '_')}.json"
    if request.uri is not None and request.name is not None:
        job = ObjectJob(
            uri=request.uri,
            name=request.name,
            version=request.version,
            flakiness=request.flakiness,
        )
        fact = yield from ctx.call_activity(ingest_object, job)
        container = unquote(request.uri).removesuffix(f"/{request.name}")
        report = summarise(container, [request.name], [fact])
        place = f"{quote(container.rpartition('/')[0], safe=':/')}/{place}"
    else:
        paths = yield from ctx.call_activity(
            list_files, Listing(folder=request.folder, pattern=request.pattern)
        )
        jobs = [
            FileJob(folder=request.folder, path=path, flakiness=request.flakiness) for path in paths
        ]
        facts = yield from ctx.map(ingest_file, jobs, max_concurrency=request.max_concurrency)
        report = summarise(request.folder, paths, facts)
    path = request.report or place
    yield from ctx.call_activity(write_report, ReportFile(path=path, report=report))
    return report


def summarise(folder: str, paths: Sequence[str], facts: Sequence[FileFacts]) -> Report:
    """Add up what was found in each file; ``facts`` are in the order of ``paths``."""
    by_type: dict[str, list[FileFacts]] = {}
    for fact in facts:
        by_type.setdefault(fact.type, []).append(fact)
    totals = {kind: _totals(members) for kind, members in by_type.items()}
    everything = _totals(facts)
    slowest = sorted(zip(paths, facts, strict=True), key=lambda pair: -pair[1].seconds)[:5]
    return Report(
        folder=folder,
        files=everything.files,
        bytes=everything.bytes,
        lines=everything.lines,
        words=everything.words,
        retried=sum(fact.attempt > 1 for fact in facts),
        undecodable=sum(fact.undecodable for fact in facts),
        by_type=dict(sorted(totals.items(), key=lambda item: (-item[1].files, item[0]))),
        slowest=[(path, fact.seconds) for path, fact in slowest],
        skipped={
            path: fact.skipped for path, fact in zip(paths, facts, strict=True) if fact.skipped
        },
    )


def _totals(facts: Sequence[FileFacts]) -> TypeTotals:
    return TypeTotals(
        files=len(facts),
        bytes=sum(fact.bytes for fact in facts),
        lines=sum(fact.lines for fact in facts),
        words=sum(fact.words for fact in facts),
    )
