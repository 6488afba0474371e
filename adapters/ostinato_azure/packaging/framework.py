"""Ostinato's own code, packed as it is here: from a checkout as from an installed wheel."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import ostinato
import ostinato_azure

LEFT_OUT = {"ostinato": {"cli", "testing"}, "ostinato_azure": {"packaging"}}
"""Packages that no deployed app calls."""


def framework_files() -> dict[str, Path | bytes]:
    """Return the files of Ostinato's packages by name within site-packages."""
    found: dict[str, Path | bytes] = {}
    for module in (ostinato, ostinato_azure):
        folder = Path(module.__file__ or "").parent
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if (
                path.is_file()
                and "__pycache__" not in name.parts
                and name.parts[0] not in LEFT_OUT[module.__name__]
            ):
                found[f"{module.__name__}/{name.as_posix()}"] = path
    version = framework_version()
    found[f"ostinato-{version}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: ostinato\nVersion: {version}\n".encode()
    )
    return found


def framework_version() -> str:
    """Return the version of Ostinato that is installed here."""
    return importlib.metadata.version("ostinato")
