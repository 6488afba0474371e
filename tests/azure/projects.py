"""Projects to build, and the command line run in them as their owner runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

SHOP = """
import ostinato as ost

app = ost.App("Corner Shop")

@app.activity
def pack(item: str) -> str:
    return f"{item}, packed"

@app.orchestration(triggers=[ost.Http("orders/{item}"), ost.Queue("orders")])
def order(ctx, item):
    return (yield ctx.call_activity(pack, item))
"""

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files by name; return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def ostinato(
    folder: Path, *arguments: str, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, with ``path`` alone as the PATH if it is given."""
    return subprocess.run(
        [sys.executable, "-m", "ostinato.cli", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "COLUMNS": "200",
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"PATH": str(path)} if path else {}),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def own_names(archive: Path) -> list[str]:
    """Names of a package's files that are no dependency's."""
    with zipfile.ZipFile(archive) as opened:
        return [n for n in opened.namelist() if not n.startswith(".python_packages/")]
