"""What a function app needs beside its own code."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

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


class Line(str):
    """A line of a requirements file that knows where it is from."""

    place: str
    """In words for people, such as ``requirements.txt:3``."""

    def __new__(cls, text: str, place: str) -> Self:
        made = super().__new__(cls, text)
        made.place = place
        return made


def requirements(project: Path, target: Target) -> tuple[Line, ...]:
    """Return the lines of a requirements file that holds all that ``target`` has to have.

    They are those of the project's requirements.txt if there is one, else the dependencies of
    its pyproject.toml, and what Ostinato needs on Azure. Markers have been judged for the target.

    Raises:
        PackagingError: A line cannot be used; its place is told.
    """
    extras = {"azure", "azure-grpc"} if read_settings(project).grpc else {"azure"}
    lines: list[Line] = []
    for line in _project_lines(project):
        requirement = _parsed(line)
        if requirement is None:
            _check_is_for_pip(line)
            lines.append(line)
        elif canonicalize_name(requirement.name) == FRAMEWORK:
            extras |= requirement.extras
        elif (kept := _for_target(requirement, target, ())) is not None:
            _, mark, hashes = line.partition(HASH)
            lines.append(Line(f"{kept}{mark}{hashes}", line.place))
    own = framework_requirements(extras, target)
    lines += [Line(each, f"Ostinato's own {each}") for each in own]
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


_FOR_PIP = re.compile(r"-|file:|.*[/\\]|.*\$\{")
"""Begins what is an option, a place, or has a variable of the environment."""


def _check_is_for_pip(line: Line) -> None:
    """See that what is no requirement by name is something else, which pip reads.

    Raises:
        PackagingError: It is a requirement that is written wrongly.
    """
    named = re.split(r"\s-", line)[0]  # what follows is an option for this requirement alone
    if _FOR_PIP.match(named):
        return
    try:
        Requirement(named)
    except InvalidRequirement as error:
        said = str(error).partition("\n")[0]
        raise PackagingError(f"{line.place}: {str(line)!r} is no requirement: {said}") from None


def declared_in(project: Path) -> str:
    """Return the place where a project names its dependencies, or where it best would."""
    is_table = not (project / OWN_FILE).is_file() and "project" in read_pyproject(project)
    return "[project] dependencies in pyproject.toml" if is_table else OWN_FILE


def _project_lines(project: Path) -> list[Line]:
    own = project / OWN_FILE
    if own.is_file():
        return list(_read(own, project, ()))
    pyproject = project / "pyproject.toml"
    try:
        declared = msgspec.convert(read_table(project, "project"), _Project)
    except msgspec.ValidationError as error:
        raise PackagingError(f"[project] in {pyproject}: {error}") from None
    if declared.dependencies:
        text = pyproject.read_text(encoding="utf-8")
        return [Line(line, _place(text, line)) for line in declared.dependencies]
    poetrys = read_table(project, "tool", "poetry", "dependencies").keys() - {"python"}
    if declared.dependencies is None and ("dependencies" in declared.dynamic or poetrys):
        raise PackagingError(
            f"what the project depends on is for its build tool alone to say ({pyproject}): write "
            f"a {OWN_FILE}, or have that tool export one"
        )
    return []


class _Project(msgspec.Struct, frozen=True):
    """What is read of ``[project]``."""

    dependencies: list[str] | None = None
    dynamic: list[str] = []


def _place(pyproject: str, dependency: str) -> str:
    """The place of a dependency in pyproject.toml, with the line if one alone may be it."""
    quoted = (f'"{dependency}"', f"'{dependency}'")
    lines = enumerate(pyproject.splitlines(), 1)
    found = [number for number, line in lines if any(each in line for each in quoted)]
    return f"pyproject.toml:{found[0]}" if len(found) == 1 else "pyproject.toml"


def _read(path: Path, project: Path, within: tuple[Path, ...]) -> Iterator[Line]:
    """The lines of a requirements file and of those it includes, without comments."""
    if path.resolve() in within:
        raise PackagingError(f"{path} includes itself")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackagingError(f"{path} cannot be read: {error}") from None
    name = path.relative_to(project) if path.is_relative_to(project) else path
    for number, line in _joined(text):
        place = f"{name.as_posix()}:{number}"
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        included = re.fullmatch(r"(-r|--requirement)(?:\s+|=)(.+)", line)
        beside = re.fullmatch(r"(-c|--constraint|-f|--find-links)(?:\s+|=)(.+)", line)
        if included:
            yield from _read(path.parent / included[2], project, (*within, path.resolve()))
        elif beside and "://" not in beside[2]:
            yield Line(f"{beside[1]} {(path.parent / beside[2]).resolve()}", place)
        elif re.match(r"-e\b|--editable\b|\.{0,2}/|\.$", line):
            raise PackagingError(
                f"{place}: {line!r} is a folder or file of this machine; a package takes "
                "distributions: give its code a place in the project, or build its wheel"
            )
        elif line:
            yield Line(" ".join(line.split()), place)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends in a backslash goes on in the next.

    Not so a comment, as for pip.
    """
    first, begun = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            begun += f"{line[:-1]} "
        else:
            yield first, begun + line
            first, begun = number + 1, ""
    yield first, begun
