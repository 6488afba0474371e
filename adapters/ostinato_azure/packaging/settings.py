"""What a project says of its function app: ``[tool.ostinato.azure]`` in its pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, cast

import msgspec

from ostinato_azure.packaging.errors import PackagingError


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table's keys."""

    grpc: bool = False
    """Whether the app is on the Durable Task protocol: ``function_app(app, grpc=True)``."""
    host: dict[str, Any] = {}
    """Laid over the host.json that is generated; tables are merged, all else is replaced."""


def read_settings(project: Path) -> Settings:
    """Return what the folder's pyproject.toml says, or what holds without one.

    Raises:
        PackagingError: It is no TOML, or has keys or types that mean nothing here.
    """
    table = read_table(project, "tool", "ostinato", "azure")
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise PackagingError(
            f"[tool.ostinato.azure] in {project / 'pyproject.toml'}: {error}"
        ) from None


def read_table(project: Path, *names: str) -> dict[str, Any]:
    """Return a table of the folder's pyproject.toml by its path, or nothing where there is none.

    Raises:
        PackagingError: It is no TOML, or what has that name is no table.
    """
    table = read_pyproject(project)
    for depth, name in enumerate(names, 1):
        found = table.get(name, {})
        if not isinstance(found, dict):
            where = ".".join(names[:depth])
            raise PackagingError(f"{where} in {project / 'pyproject.toml'} is no table")
        table = cast(dict[str, Any], found)
    return table


def read_pyproject(project: Path) -> dict[str, Any]:
    """Return the folder's pyproject.toml, or nothing where there is none.

    Raises:
        PackagingError: It is no TOML.
    """
    path = project / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackagingError(f"{path} is no TOML: {error}") from None
