"""Installing dependencies for another Python and platform, once for the same question."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.requirements import HASH, Line, local_files
from ostinato_azure.packaging.target import Target

NEWEST_PIP = "26.3"
"""The newest that is known to take the target's Python and platform for its own."""

UNSTABLE = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files of a distribution's metadata that tell how it was installed, not what it is."""


# pip has no option for the Python by which it judges the markers of what packages need. Before
# 24.2 its `install` does not judge `Requires-Python` by --python-version, either.
_PIP = """
import functools, json, runpy, sys

python, environment, newest = json.loads(sys.argv.pop(1))
import pip
try:
    from pip._internal.cli.req_command import RequirementCommand
    from pip._vendor.packaging import markers
    from pip._vendor.packaging.version import Version

    markers.default_environment = lambda: dict(environment)
    is_told = all(
        markers.Marker(f"{name} == {environment[name]!r}").evaluate()
        for name in ("python_full_version", "sys_platform", "platform_machine")
    )
    if Version(pip.__version__) < Version("24.2"):
        given = tuple(int(part) for part in python.split("."))
        make = functools.partial(RequirementCommand.make_resolver, py_version_info=given)
        RequirementCommand.make_resolver = staticmethod(make)
except (ImportError, AttributeError):
    is_told = False
if not is_told:
    sys.exit(
        f"ERROR: pip {pip.__version__} in {sys.prefix} cannot be told to judge by Python {python}: "
        f"python -m pip install 'pip<={newest}'"
    )
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""Runs pip as if on the target."""

SAID = 10
"""Most lines of pip's words that an error has."""


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

    What comes of it is the target's whatever Python and platform this is.

    Args:
        lines: Of a requirements file. Errors name the place of those that know theirs.
        target: What to install for.
        cache: Where to keep it, by question asked. Versions that are left open stay what they
            were at the first time.
        fresh: Ask again, and keep the new answer.

    Raises:
        PackagingError: pip is missing or cannot be told of the target, or found no fitting
            wheels; the message has its words.
    """
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in local_files(lines)]
    question = json.dumps([3, list(lines), contents, target.python, target.platforms()])
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
        _pip(_lock(lines, locked, target), folder, target)
        if locked.is_dir():
            shutil.copytree(locked, folder, dirs_exist_ok=True)
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
    told = json.dumps([target.python, target.markers(), NEWEST_PIP])
    # -P: modules of the project are not taken for pip's.
    command = [sys.executable, "-P", "-c", _PIP, told, "install", "--quiet", "--no-compile"]
    command += ["--disable-pip-version-check", "--no-input", "--target", str(folder)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    done = subprocess.run(
        [*command, *platforms, "-r", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n  ".join(_errors(_placed(done.stderr, lines, file)))
        raise PackagingError(
            f"the dependencies cannot be installed for Python {target.python} on "
            f"{target.platform}:\n  {said}"
        )


def _errors(said: str) -> list[str]:
    """What is of use of pip's words: from the first error on, a few lines."""
    spoken = [line.rstrip() for line in said.splitlines() if line.strip()]
    spoken = [line for line in spoken if not line.startswith(("WARNING:", "DEPRECATION:"))]
    first = next((at for at, line in enumerate(spoken) if "ERROR" in line), None)
    told = spoken[first or 0 :]
    return told if len(told) <= SAID else [*told[:1], *told[1 - SAID :]]


def _placed(said: str, lines: Sequence[str], file: Path) -> str:
    """Pip's words, with the places that its lines are from instead of those in its file."""

    def place(found: re.Match[str]) -> str:
        line = lines[int(found["number"]) - 1]
        return line.place if isinstance(line, Line) else repr(str(line))

    name = re.escape(str(file))
    said = re.sub(rf"-r {name} \(line (?P<number>\d+)\)", place, said)
    said = re.sub(rf"line (?P<number>\d+) of {name}", place, said)
    for line in lines:
        if isinstance(line, Line):  # of an option that it does not know, pip tells no place
            unknown = f"Invalid requirement: {line}\n"
            said = said.replace(unknown, f"{unknown[:-1]} (from {line.place})\n")
    return said
