"""The files that describe an app's infrastructure, and whether those in a folder are up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import ostinato as ost
from ostinato_azure.packaging import arm
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.events import BlobFunction, events_template
from ostinato_azure.packaging.host_json import host_json
from ostinato_azure.packaging.infrastructure import main_parameters, main_template
from ostinato_azure.packaging.settings import Settings

MAIN = "infra/azure/main.json"
PARAMETERS = "infra/azure/main.parameters.json"
EVENTS = "infra/azure/events.json"
HOST = "host.json"


def synthesize(
    app: ost.App, blob_functions: Iterable[BlobFunction], settings: Settings
) -> dict[str, str | None]:
    """Return the text of each file by name; None for one that the app has no need of."""
    events = events_template(blob_functions)
    return {
        HOST: host_json(app, settings),
        MAIN: arm.text(main_template(app)),
        PARAMETERS: arm.text(main_parameters(app)),
        EVENTS: None if events is None else arm.text(events),
    }


def differing(files: Mapping[str, str | None], folder: Path) -> list[str]:
    """Return the names of the files that ``folder`` has otherwise, has not, or has in vain.

    The parameters are a beginning: once they are there, they are their owner's.
    """
    return [
        name
        for name, content in files.items()
        if not (name == PARAMETERS and (folder / name).is_file())
        and _content(folder / name) != content
    ]


def write(files: Mapping[str, str | None], folder: Path) -> list[str]:
    """Write the files that differ, remove those of no use; return their names.

    Raises:
        PackagingError: One cannot be written.
    """
    changed = differing(files, folder)
    for name in changed:
        path, content = folder / name, files[name]
        try:
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode())
        except OSError as error:
            raise PackagingError(f"{path} cannot be written: {error.strerror or error}") from None
    return changed


def _content(path: Path) -> str | None:
    """The file's text; line ends may be those of the system that checked it out."""
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")
