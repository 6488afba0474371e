"""The files that describe an app's infrastructure, and whether those in a folder are up to date."""

from __future__ import annotations

import hashlib
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

HOST_MARK = "hostJsonSha256"
"""In the template's metadata: by it a host.json that was generated is told from one by hand."""


def synthesize(
    app: ost.App, blob_functions: Iterable[BlobFunction], settings: Settings
) -> dict[str, str | None]:
    """Return the text of each file by name; None for one that the app has no need of."""
    events = events_template(blob_functions)
    host = host_json(app, settings)
    return {
        HOST: host,
        MAIN: arm.text(main_template(app) | {"metadata": {HOST_MARK: _mark(host)}}),
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


def write(files: Mapping[str, str | None], folder: Path, *, force: bool = False) -> list[str]:
    """Write the files that differ, remove those of no use; return their names.

    Args:
        files: What `synthesize` gave.
        folder: Where they are.
        force: Replace a host.json that was not generated, too.

    Raises:
        PackagingError: One cannot be written, or the host.json is somebody's own: then none is.
    """
    changed = differing(files, folder)
    if HOST in changed and not force and _is_own(folder):
        raise PackagingError(
            f"{folder / HOST} was not generated, or was changed since, and would be replaced: put "
            "its settings under [tool.ostinato.azure.host] in pyproject.toml, then give --force"
        )
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


def _is_own(folder: Path) -> bool:
    """Whether there is a host.json that is not the one written with the folder's template."""
    text = _content(folder / HOST)
    return text is not None and f'"{HOST_MARK}": "{_mark(text)}"' not in (
        _content(folder / MAIN) or ""
    )


def _mark(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()


def _content(path: Path) -> str | None:
    """The file's text; line ends may be those of the system that checked it out."""
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")
