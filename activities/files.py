"""Files of a folder, and objects that arrived: list, measure one, write the report about all."""

from __future__ import annotations

import codecs
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from errno import EIO
from fnmatch import fnmatch
from pathlib import Path

import msgspec

import ostinato as ost
from activities.objects import Opened
from activities.places import objects

app = ost.App("files")

TYPES = {
    ".c": "C", ".h": "C", ".cfg": "configuration", ".css": "CSS", ".csv": "CSV",
    ".html": "HTML", ".ini": "configuration", ".js": "JavaScript", ".json": "JSON",
    ".md": "Markdown", ".py": "Python", ".pyi": "Python", ".rst": "reStructuredText",
    ".sh": "shell", ".sql": "SQL", ".toml": "configuration", ".txt": "text",
    ".xml": "XML", ".yaml": "YAML", ".yml": "YAML",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which files of a folder to ingest."""

    folder: str
    pattern: str = "*"
    """Of the file's name, as in a shell."""
    exclude: tuple[str, ...] = ("__pycache__", "site-packages", ".*")
    """Patterns of folder names that are not entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileJob:
    """One file to measure."""

    folder: str
    path: str
    """Below the folder, with forward slashes."""
    flakiness: float = 0.0
    """The share of attempts that fail on purpose; which ones follows from path and attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectJob:
    """One object to measure."""

    uri: str
    """Of a blob in Azure Storage, or ``file://``."""
    name: str
    """Its path within its container; tells the type."""
    version: str | None = None
    """As the event of its arrival tells it: no other version of a blob is measured."""
    flakiness: float = 0.0
    """As for a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What was found in a file or object."""

    type: str
    bytes: int = 0
    lines: int = 0
    words: int = 0
    seconds: float = 0.0
    attempt: int = 1
    undecodable: bool = False
    """Some bytes were not UTF-8; each counted as a character."""
    skipped: str | None = None
    """Why it could not be read at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeTotals:
    """Totals of the files of one type."""

    files: int = 0
    bytes: int = 0
    lines: int = 0
    words: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All about a folder, or an object that arrived."""

    folder: str
    """The folder's path, or the URI of the object's container."""
    files: int
    bytes: int
    lines: int
    words: int
    retried: int
    """Files that needed more than one attempt."""
    undecodable: int
    by_type: dict[str, TypeTotals]
    """Most files first."""
    slowest: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """Path and seconds."""
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    """Path and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """A report and where it goes."""

    path: str
    """Or the URI of a blob in Azure Storage, or ``file://``."""
    report: Report


@app.activity
def list_files(listing: Listing) -> list[str]:
    """Return the regular files below a folder, sorted, as paths below it.

    Links are not followed. Names that are not valid text come with their bytes escaped, and
    are then reported as skipped, since no file of that name is found.

    Raises:
        NotADirectoryError: There is no such folder.
    """
    root = Path(listing.folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{listing.folder} is not a folder")
    return sorted(
        os.fsencode(path).decode(errors="backslashreplace") for path in _walk(root, listing)
    )


def _walk(root: Path, listing: Listing) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if not any(fnmatch(name, p) for p in listing.exclude)
        ]
        for name in files:
            path = Path(folder, name)
            if fnmatch(name, listing.pattern) and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix()


# A file that fails keeps failing for a moment: wait a little longer each time, and
# differently for each file, so that they do not all come back at once.
RETRY = ost.RetryPolicy(
    max_attempts=5, first_delay=0.1, backoff=2, max_delay=5, jitter=0.5, retry_on=OSError
)


@app.activity(retry=RETRY)
def ingest_file(job: FileJob, context: ost.ActivityContext) -> FileFacts:
    """Measure one file; what cannot be opened is reported as skipped.

    Raises:
        OSError: Reading failed, in truth or on purpose (see `FileJob`).
    """
    where = str(Path(job.folder, job.path))
    return _ingest(ObjectJob(uri=where, name=job.path, flakiness=job.flakiness), context)


@app.activity(retry=RETRY)
def ingest_object(job: ObjectJob, context: ost.ActivityContext) -> FileFacts:
    """Measure one object; what was deleted or written again since is reported as skipped.

    Raises:
        OSError: Reading failed, in truth or on purpose, or access to its storage was refused.
        ValueError: Nothing reads such a URI.
    """
    return _ingest(job, context)


def _ingest(job: ObjectJob, context: ost.ActivityContext) -> FileFacts:
    kind = TYPES.get(Path(job.name).suffix.lower(), "other")
    if _unlucky(job.name, context.attempt, job.flakiness):
        raise OSError(EIO, "the disk was busy (on purpose)", job.name)
    began = time.perf_counter()
    try:
        with objects(job.uri).opened(job.uri, job.version) as opened:
            facts = _measure(opened, kind, context)
    except (FileNotFoundError, PermissionError) as error:
        facts = FileFacts(type=kind, skipped=error.strerror or type(error).__name__)
    seconds = round(time.perf_counter() - began, 6)
    return replace(facts, seconds=seconds, attempt=context.attempt)


def _unlucky(path: str, attempt: int, flakiness: float) -> bool:
    """Decide by hash: the same on every machine, and independent between attempts."""
    digest = hashlib.sha256(f"{attempt}:{path}".encode()).digest()
    return int.from_bytes(digest[:4]) < flakiness * 2**32


def _measure(opened: Opened, kind: str, context: ost.ActivityContext) -> FileFacts:
    size = lines = words = 0
    undecodable = in_word = in_line = False
    decode = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape").decode
    for chunk in opened.chunks:
        context.raise_if_cancelled()
        if not size and b"\0" in chunk[:8192]:
            return FileFacts(type="binary", bytes=opened.size)
        size += len(chunk)
        lines += chunk.count(b"\n")
        in_line = not chunk.endswith(b"\n")
        text = decode(chunk)
        words += len(text.split()) - (in_word and not text[:1].isspace())
        in_word = not text[-1:].isspace()
        undecodable = undecodable or not _is_unicode(text)
    undecodable = undecodable or bool(decode(b"", True))
    return FileFacts(
        type=kind, bytes=size, lines=lines + in_line, words=words, undecodable=undecodable
    )


def _is_unicode(text: str) -> bool:
    """Whether no byte was smuggled in as a surrogate."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


@app.activity(retry=ost.RetryPolicy(max_attempts=3, first_delay=0.5))
def write_report(request: ReportFile) -> str:
    """Write the report as JSON and return where; doing it twice is doing it once.

    Raises:
        OSError: It cannot be written there.
    """
    content = msgspec.json.format(msgspec.json.encode(request.report)) + b"\n"
    try:
        objects(request.path).write(request.path, content)
    except OSError as error:
        raise OSError(
            f"the report cannot be written to {request.path} ({error.strerror or error}); name "
            "another place, a path or a blob's URI, in the request's field `report`"
        ) from error
    return request.path
