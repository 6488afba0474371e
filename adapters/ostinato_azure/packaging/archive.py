"""A zip file that is the same, byte for byte, whenever its contents are."""

from __future__ import annotations

import os
import stat
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ostinato_azure.packaging.errors import PackagingError

EARLIEST = 315_532_800
"""1980-01-01Z, the first time that a zip file can hold, in seconds since 1970."""

LATEST = 4_354_819_198
"""2107-12-31T23:59:58Z, the last one."""


def check_output(output: Path) -> None:
    """See that `write_zip` can write there, before the work is done.

    Raises:
        PackagingError: It cannot.
    """
    _moment()
    if output.is_dir():
        raise PackagingError(
            f"{output} is a folder: name a file in it, such as {output / 'app.zip'}"
        )
    part = _part(output)
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise PackagingError(f"{output} cannot be written: {error.strerror or error}") from None


def write_zip(output: Path, entries: Mapping[str, Path | bytes]) -> int:
    """Write files, in order of their names, all with one time and mode; return their bytes.

    The time is ``SOURCE_DATE_EPOCH`` of the environment, else the earliest there is. The file
    is there whole or not at all.

    Raises:
        PackagingError: ``SOURCE_DATE_EPOCH`` is no time, or the file cannot be written.
    """
    moment = _moment()
    part = _part(output)
    total = 0
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, source in sorted(entries.items()):
                data = source if isinstance(source, bytes) else source.read_bytes()
                total += len(data)
                info = zipfile.ZipInfo(name, moment)
                info.create_system = 3  # Unix, on every system that builds
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data, compresslevel=9)
        part.replace(output)
    except OSError as error:
        raise PackagingError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return total


def _part(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


def _moment() -> tuple[int, int, int, int, int, int]:
    given = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if not given.isdecimal() or len(given) > len(str(LATEST)) or int(given) > LATEST:
        raise PackagingError(
            f"SOURCE_DATE_EPOCH is {given!r}, not seconds since 1970 up to {LATEST}"
        )
    return time.gmtime(max(int(given), EARLIEST))[:6]
