"""What a function app needs beside its own code."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.settings import read_pyproject, read_settings, read_table
from ostinato_azure.packaging.target import Target

FRAMEWORK = "ostinato"
"""Not installed from an index: it is packed as it is here."""

OWN_FILE = "requirements.txt"
"""Where it is, pyproject.toml is not looked at."""

HASH = " --hash="
"""Begins what a line of a lock file says of the archives that it takes."""


def requirements(project: Path, target: Target) -> tuple[str, ...]:
    """Return the lines of a requirements file that holds all that ``target`` has to have.

    They are those of the project's requirements.txt if there is one, else the dependencies of
    its pyproject.toml, and what Ostinato needs on Azure. Markers have been judged for the target.

    Raises:
        PackagingError: A line cannot be used.
    """
    extras = {"azure", "azure-grpc"} if read_settings(project).grpc else {"azure"}
    lines: list[str] = []
    for line in _project_lines(project):
        requirement = _parsed(line)
        if requirement is None:
            lines.append(line)
        elif canonicalize_name(requirement.name) == FRAMEWORK:
            extras |= requirement.extras
        elif (kept := _for_target(requirement, target, ())) is not None:
            _, mark, hashes = line.partition(HASH)
            lines.append(f"{kept}{mark}{hashes}")
    lines += framework_requirements(extras, target)
    return tuple(dict.fromkeys(lines))


def framework_requirements(extras: Iterable[str], target: Target) -> list[str]:
    """Return what Ostinato itself needs on ``target`` for some of its extras.

    Raises:
        PackagingError: Ostinato is not installed, so that nobody knows.
    """
    try:
        declared = importlib.metadata.requires(FRAMEWORK) or []
    except importlib.metadata.PackageNotFoundError:
        raise PackagingError(
            "ostinato is not installed here, only found: pip install it (with -e for a checkout)"
        ) from None
    wanted = sorted(extras)
    kept = [r for line in declared if (r := _for_target(Requirement(line), target, wanted))]
    own = {extra for r in kept if canonicalize_name(r.name) == FRAMEWORK for extra in r.extras}
    if not own <= set(wanted):  # an extra that has another
        return framework_requirements(own.union(wanted), target)
    return [str(r) for r in kept if canonicalize_name(r.name) != FRAMEWORK]


def missing(installed: Path, asked: Iterable[str], target: Target) -> list[str]:
    """Return what packages of a folder need on ``target`` and do not find there.

    pip judges markers by the Python that runs it, so what only the target needs is left out.

    Args:
        installed: The folder, with the packages' metadata.
        asked: The requirements for which it was filled; they tell the extras.
        target: Where it will run.
    """
    present = {
        canonicalize_name(dist.metadata["Name"]): dist
        for dist in importlib.metadata.distributions(path=[str(installed)])
    }
    asked_for = [requirement for line in asked if (requirement := _parsed(line)) is not None]
    absent: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    while asked_for:
        requirement = asked_for.pop()
        name = canonicalize_name(requirement.name)
        dist = present.get(name)
        if dist is None:
            absent[str(requirement)] = None
            continue
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needed = (_for_target(Requirement(r), target, [extra]) for r in dist.requires or [])
                asked_for += [r for r in needed if r is not None]
    return sorted(absent)


def local_files(lines: Iterable[str]) -> list[Path]:
    """Return the files of this machine that lines name: constraints, wheels, folders of wheels."""
    found: list[Path] = []
    for line in lines:
        requirement = _parsed(line)
        named = _PLACE.fullmatch((requirement.url or "") if requirement else line)
        if named is not None:
            path = Path(named["path"].strip())
            found += sorted(path.glob("*.whl")) if path.is_dir() else [path] * path.is_file()
    return found


_PLACE = re.compile(r"(?:--?[a-z-]+[ =]\s*)?(?:file://)?(?P<path>(?!\w+://)[^#]+)(?:#.*)?")


def _for_target(
    requirement: Requirement, target: Target, extras: Iterable[str]
) -> Requirement | None:
    """The requirement without its marker; None where that does not hold."""
    marker = requirement.marker
    environments: list[Any] = [{**target.markers(), "extra": extra} for extra in (extras or ("",))]
    if marker is not None and not any(marker.evaluate(e) for e in environments):
        return None
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare


def _parsed(line: str) -> Requirement | None:
    """A requirement by name; None for options, paths and URLs, which are pip's to read."""
    try:
        return Requirement(line.partition(HASH)[0])
    except InvalidRequirement:
        return None


def declared_in(project: Path) -> str:
    """Return the place where a project names its dependencies, or where it best would."""
    is_table = not (project / OWN_FILE).is_file() and "project" in read_pyproject(project)
    return "[project] dependencies in pyproject.toml" if is_table else OWN_FILE


def _project_lines(project: Path) -> list[str]:
    own = project / OWN_FILE
    if own.is_file():
        return list(_read(own, ()))
    pyproject = project / "pyproject.toml"
    try:
        declared = msgspec.convert(read_table(project, "project"), _Project)
    except msgspec.ValidationError as error:
        raise PackagingError(f"[project] in {pyproject}: {error}") from None
    if declared.dependencies is not None:
        return declared.dependencies
    poetrys = read_table(project, "tool", "poetry", "dependencies").keys() - {"python"}
    if "dependencies" in declared.dynamic or poetrys:
        raise PackagingError(
            f"what the project depends on is for its build tool alone to say ({pyproject}): write "
            f"a {OWN_FILE}, or have that tool export one"
        )
    return []


class _Project(msgspec.Struct, frozen=True):
    """What is read of ``[project]``."""

    dependencies: list[str] | None = None
    dynamic: list[str] = []


def _read(path: Path, within: tuple[Path, ...]) -> Iterator[str]:
    """The lines of a requirements file and of those it includes, without comments."""
    if path.resolve() in within:
        raise PackagingError(f"{path} includes itself")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackagingError(f"{path} cannot be read: {error}") from None
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        included = re.fullmatch(r"(-r|--requirement)(?:\s+|=)(.+)", line)
        beside = re.fullmatch(r"(-c|--constraint|-f|--find-links)(?:\s+|=)(.+)", line)
        if included:
            yield from _read(path.parent / included[2], (*within, path.resolve()))
        elif beside and "://" not in beside[2]:
            yield f"{beside[1]} {(path.parent / beside[2]).resolve()}"
        elif re.match(r"-e\b|--editable\b|\.{0,2}/|\.$", line):
            raise PackagingError(
                f"{path.name}: {line!r} is a folder or file of this machine; a package takes "
                "distributions: give its code a place in the project, or build its wheel"
            )
        elif line:
            yield " ".join(line.split())
