"""What the template's file of parameters says of the app: the file is its owner's to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from ostinato_azure.packaging.errors import PackagingError

SETTINGS = "appSettings"
PYTHON = "pythonVersion"


_HOSTS = re.compile(r"AzureWebJobsStorage(__.*)?", re.IGNORECASE)
_ELSEWHERE = {
    name.lower()
    for name in (
        "ENABLE_ORYX_BUILD",
        "FUNCTIONS_EXTENSION_VERSION",
        "FUNCTIONS_WORKER_RUNTIME",
        "FUNCTIONS_WORKER_RUNTIME_VERSION",
        "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
        "WEBSITE_CONTENTSHARE",
        "WEBSITE_RUN_FROM_PACKAGE",
        "WEBSITE_VNET_ROUTE_ALL",
    )
}
"""Refused by Flex Consumption, which has properties of the site in their place:
https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations"""


_TYPES: Mapping[str, type] = {
    "array": list,
    "bool": bool,
    "int": int,
    "object": dict,
    "secureobject": dict,
    "securestring": str,
    "string": str,
}
"""What JSON gives for each type of a template's parameters."""


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


def stated_settings(file: Path) -> dict[str, Any]:
    """Return the app's settings as far as the file states them.

    Raises:
        PackagingError: It is no file of parameters.
    """
    stated = _read(file).get(SETTINGS, _Entry()).value
    return cast(dict[str, Any], stated) if isinstance(stated, dict) else {}


def check_settings(names: Iterable[str], where: str) -> None:
    """See that settings are not such as the template or the plan decides.

    Raises:
        PackagingError: One is.
    """
    for name in names:
        if _HOSTS.fullmatch(name):
            raise PackagingError(f"{where}: {name} is set by the template, to its own account")
        if name.lower() in _ELSEWHERE:
            raise PackagingError(f"{where}: Flex Consumption takes no setting {name}")


def check_parameters(file: Path, declared: Mapping[str, Any]) -> None:
    """See that a template has the parameters of a file, and that their values are of its types.

    Args:
        file: The file of parameters.
        declared: The template's, as it declares them.

    Raises:
        PackagingError: It is no file of parameters, or the template would not take them.
    """
    known = {name.lower(): name for name in declared}
    for name, entry in _read(file).items():
        if name.lower() not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f": is it {known[close[0]]}?" if close else ""
            raise PackagingError(f"{file}: the template has no parameter {name}{hint}")
        kind = declared[known[name.lower()]]["type"]
        if entry.value is not None and type(entry.value) is not _TYPES[kind.lower()]:
            raise PackagingError(f"{file}: {name} is of type {kind}, which its value is not")


def _read(file: Path) -> dict[str, _Entry]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_File).parameters
    except (OSError, msgspec.DecodeError) as error:
        raise PackagingError(f"{file} is no file of parameters: {error}") from None
