"""What the template's file of parameters says of the app: the file is its owner's to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ostinato_azure.packaging.errors import PackagingError

SETTINGS = "appSettings"
PYTHON = "pythonVersion"


class _Entry(msgspec.Struct, frozen=True):
    value: Any = None
    """None where a reference to a key vault is in its place."""


class _File(msgspec.Struct, frozen=True):
    parameters: dict[str, _Entry] = {}


def python_version(file: Path) -> str | None:
    """Return the function app's Python; None where there is no file, or it leaves that open.

    Raises:
        PackagingError: It is no file of parameters.
    """
    if not file.is_file():
        return None
    value = _read(file).get(PYTHON, _Entry()).value
    return None if value is None else str(value)


def app_settings(file: Path) -> dict[str, Any]:
    """Return the app's settings.

    Raises:
        PackagingError: It is no file of parameters, or they are elsewhere.
    """
    entry = _read(file).get(SETTINGS, _Entry(value={}))
    try:
        return msgspec.convert(entry.value, dict[str, Any])
    except msgspec.ValidationError:
        raise PackagingError(
            f"{SETTINGS} in {file} are not written there as an object: no others can be added, "
            "such as webhooks' secrets and those of --setting"
        ) from None


def _read(file: Path) -> dict[str, _Entry]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_File).parameters
    except (OSError, msgspec.DecodeError) as error:
        raise PackagingError(f"{file} is no file of parameters: {error}") from None
