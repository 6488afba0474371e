"""Installing dependencies for another Python and platform, once for the same question."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.requirements import HASH, local_files, missing
from ostinato_azure.packaging.target import Target

ROUNDS = 4
"""How often what only the target needs is looked for; each round may bring more."""

UNSTABLE = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files of a distribution's metadata that tell how it was installed, not what it is."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of installed packages."""

    folder: Path
    is_cached: bool
    """Whether it was there already."""

    def files(self) -> dict[str, Path]:
        """Return what an app needs of it, by name within the folder."""
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            is_metadata = len(name.parts) == 2 and name.parts[0].endswith(".dist-info")
            if not (
                not path.is_file()
                or path.suffix == ".pyc"
                or name.parts[0] == "bin"  # scripts that name the Python they were made by
                or (is_metadata and name.name in UNSTABLE)
            ):
                found[name.as_posix()] = path
        return found

    def versions(self) -> list[str]:
        """Return ``name==version`` of each distribution, sorted."""
        found = (path.stem.rpartition("-") for path in self.folder.glob("*.dist-info"))
        return sorted(f"{canonicalize_name(name)}=={version}" for name, _, version in found)


def cache_folder() -> Path:
    """Return the folder of the user's in which installed dependencies are kept."""
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ostinato" / "azure"


def install(lines: Sequence[str], target: Target, *, cache: Path, fresh: bool = False) -> Installed:
    """Install what requirements ask for, wheels only; keep it for the next time.

    Args:
        lines: Of a requirements file.
        target: What to install for.
        cache: Where to keep it, by question asked. Versions that are left open stay what they
            were at the first time.
        fresh: Ask again, and keep the new answer.

    Raises:
        PackagingError: pip is missing, or found no fitting wheels; the message has its words.
    """
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in local_files(lines)]
    question = json.dumps([2, list(lines), contents, target.python, target.platforms()])
    kept = cache / hashlib.sha256(question.encode()).hexdigest()[:32]
    if kept.is_dir() and not fresh:
        return Installed(folder=kept, is_cached=True)
    if importlib.util.find_spec("pip") is None:
        raise PackagingError(
            f"there is no pip in {sys.prefix}, which installs the dependencies: python -m ensurepip"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as work:
        folder, locked = Path(work) / "packages", Path(work) / "locked"
        asked = _lock(lines, locked, target)
        for _ in range(ROUNDS):
            shutil.rmtree(folder, ignore_errors=True)
            _pip(asked, folder, target)
            if locked.is_dir():
                shutil.copytree(locked, folder, dirs_exist_ok=True)
                os.utime(folder)  # not the copied one's: importlib's cache of metadata goes by it
            absent = missing(folder, [*lines, *asked], target)
            asked += absent
            if not absent:
                break
        else:
            raise PackagingError(f"pip leaves out what Python {target.python} needs: {asked}")
        if fresh and kept.is_dir():
            kept.replace(Path(work) / "old")
        try:
            folder.replace(kept)
        except OSError:
            if not kept.is_dir():  # else another build was quicker, and may be reading it
                raise
    return Installed(folder=kept, is_cached=False)


def _lock(lines: Sequence[str], folder: Path, target: Target) -> list[str]:
    """Install what has hashes, if anything has; return the lines that are left.

    In a run of its own, since in one with a hash pip wants one for all, and what is added to a
    project's lines has none. The versions hold for the next run.
    """
    locked = [line for line in lines if HASH in line]
    if not locked:
        return list(lines)
    _pip([*(line for line in lines if line.startswith("-")), *locked], folder, target)
    pins = folder.with_suffix(".pins")
    pins.write_text(
        "\n".join(Installed(folder=folder, is_cached=False).versions()), encoding="utf-8"
    )
    left = [line for line in lines if HASH not in line and line != "--require-hashes"]
    return [*left, f"-c {pins}"]


def _pip(lines: Sequence[str], folder: Path, target: Target) -> None:
    file = folder.with_suffix(".txt")
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    folder.mkdir()
    platforms = [word for tag in target.platforms() for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    command += ["--disable-pip-version-check", "--no-input", "--target", str(folder)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    done = subprocess.run(
        [*command, *platforms, "-r", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
        said = "\n  ".join(errors or done.stderr.strip().splitlines()[-5:])
        raise PackagingError(
            f"the dependencies cannot be installed for Python {target.python} on "
            f"{target.platform}:\n  {said}"
        )
