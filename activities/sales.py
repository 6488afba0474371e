"""Sales of a day: fetch a source's file, clean its rows, load the day into a database.

Rows never pass through the history: they stay in files of the staging folder, which are
written in one step each, so that an activity done twice leaves what it leaves done once.
"""

from __future__ import annotations

import csv
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, cast

import msgspec

import ostinato as ost

app = ost.App("sales")

EXAMPLES = 3
"""How many rejected rows are told of by name."""

LARGEST = 1_000_000
"""No price and no number of units is larger, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A source's file of one business date."""

    source: str
    path: str
    """A ``.csv`` file with a header, or a ``.jsonl`` file with an object a line."""
    staging: str
    business_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A source's rows in the staging folder, and what became of those that were read."""

    source: str
    path: str
    accepted: int
    rejected: int
    examples: list[str]
    """The first rejected rows, each with its line and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A clean row."""

    product: str
    units: int
    """Negative for returned goods."""
    cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A day's staged files and the database they go to."""

    database: str
    business_date: date
    staged: list[StagedFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductTotal:
    """What one product sold on the day, over all sources."""

    product: str
    units: int
    cents: int


@app.activity(
    retry=ost.RetryPolicy(max_attempts=4, first_delay=1, backoff=3, jitter=0.2, retry_on=OSError)
)
def fetch_source(source: SourceFile) -> str:
    """Copy the source's file to the staging folder and return the copy's path.

    Raises:
        FileNotFoundError: The file has not been delivered yet.
    """
    origin = Path(source.path)
    if not origin.is_file():
        raise FileNotFoundError(
            f"source {source.source!r} has no file for {source.business_date}: {origin}"
        )
    staging = Path(source.staging)
    staging.mkdir(parents=True, exist_ok=True)
    copy = staging / f"{source.source}-{source.business_date}.raw{origin.suffix}"
    unfinished = copy.with_name(copy.name + ".unfinished")
    shutil.copyfile(origin, unfinished)
    unfinished.replace(copy)
    return str(copy)


@app.activity
def clean_source(source: SourceFile) -> StagedFile:
    """Turn a fetched file's rows into typed ones; those that make no sense are counted."""
    raw = Path(source.path)
    clean = raw.with_name(f"{source.source}-{source.business_date}.clean.jsonl")
    unfinished = clean.with_name(clean.name + ".unfinished")
    encode = msgspec.json.Encoder().encode
    accepted, problems = 0, list[str]()
    with unfinished.open("wb") as out:
        for line, row in _rows(raw):
            try:
                sale = _sale(row, source.business_date)
            except ValueError as error:
                problems.append(f"line {line}: {error}")
                continue
            out.write(encode(sale) + b"\n")
            accepted += 1
    unfinished.replace(clean)
    return StagedFile(
        source=source.source,
        path=str(clean),
        accepted=accepted,
        rejected=len(problems),
        examples=problems[:EXAMPLES],
    )


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Give each row with its line; a line that is no JSON comes as its text."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield reader.line_num, row
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield number, msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield number, line.decode(errors="replace").strip()


def _sale(row: Any, business_date: date) -> Sale:
    if not isinstance(row, dict):
        raise ValueError(f"{str(row)[:40]!r} is no row")
    row = cast("dict[str, Any]", row)
    if row.get("date") != business_date.isoformat():
        raise ValueError(f"date {row.get('date')!r} is not {business_date}")
    product = str(row.get("product") or "").strip().lower()
    if not product:
        raise ValueError("product is missing")
    units = _number(row, "units")
    if units != int(units):
        raise ValueError(f"units {row['units']!r} is no whole number")
    cents = (_number(row, "price") * 100 * units).quantize(Decimal(1))
    return Sale(product=product, units=int(units), cents=int(cents))


def _number(row: dict[str, Any], column: str) -> Decimal:
    try:
        number = Decimal(str(row[column]).strip())
    except (KeyError, InvalidOperation):
        raise ValueError(f"{column} {row.get(column)!r} is no number") from None
    if not number.is_finite() or abs(number) > LARGEST:
        raise ValueError(f"{column} {row[column]!r} is out of range")
    return number


@app.activity(
    retry=ost.RetryPolicy(max_attempts=3, first_delay=1, retry_on=sqlite3.OperationalError)
)
def load_day(load: Load) -> list[ProductTotal]:
    """Replace the day's rows in the database and return its totals, best sellers first.

    The day is deleted and inserted in one transaction, so loading it again, after a crash or
    as a backfill, changes nothing that is right already.
    """
    day = load.business_date.isoformat()
    Path(load.database).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(load.database, timeout=30)) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS daily_sales (business_date TEXT, source TEXT,"
            " product TEXT, units INTEGER, cents INTEGER,"
            " PRIMARY KEY (business_date, source, product))"
        )
        database.execute("DELETE FROM daily_sales WHERE business_date = ?", (day,))
        database.executemany(
            "INSERT INTO daily_sales VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE"
            " SET units = units + excluded.units, cents = cents + excluded.cents",
            _loadable(load.staged, day),
        )
        totals = database.execute(
            "SELECT product, sum(units), sum(cents) FROM daily_sales WHERE business_date = ?"
            " GROUP BY product ORDER BY sum(cents) DESC, product",
            (day,),
        )
        return [ProductTotal(product=p, units=units, cents=cents) for p, units, cents in totals]


def _loadable(staged: Iterable[StagedFile], day: str) -> Iterator[tuple[str, str, str, int, int]]:
    decode = msgspec.json.Decoder(Sale).decode
    for file in staged:
        with Path(file.path).open("rb") as lines:
            for line in lines:
                sale = decode(line)
                yield day, file.source, sale.product, sale.units, sale.cents
