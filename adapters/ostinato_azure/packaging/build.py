"""The deployable package of a project: a zip file that a function app runs from."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec

import ostinato as ost
from ostinato_azure.packaging.archive import check_output, write_zip
from ostinato_azure.packaging.dependencies import Installed, cache_folder, install
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.files import project_files
from ostinato_azure.packaging.framework import framework_files, framework_version
from ostinato_azure.packaging.host_json import host_json
from ostinato_azure.packaging.loading import check_app, check_files
from ostinato_azure.packaging.requirements import requirements
from ostinato_azure.packaging.settings import read_settings
from ostinato_azure.packaging.target import Target

SITE_PACKAGES = ".python_packages/lib/site-packages"
"""Where the Python worker looks for an app's dependencies."""


PINS = "requirements.txt"
"""In the package: what is in it, for people, and which Python it is for."""

_HEAD = re.compile(rb"# Packed with ostinato \S+ for Python (\S+) on ")


class AppReference(msgspec.Struct, frozen=True, kw_only=True):
    """The application and where code imports it from."""

    app: ost.App
    module: str
    attribute: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was built."""

    path: Path
    size: int
    """Bytes of the zip file."""
    unpacked: int
    """Bytes of the files in it."""
    files: int
    dependencies: tuple[str, ...]
    """``name==version`` of each."""


def build(
    project: Path,
    output: Path,
    find_app: Callable[[], AppReference],
    *,
    target: Target,
    fresh: bool = False,
    check: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Write the package of ``project`` to ``output``; the same project gives the same bytes.

    Args:
        project: The folder with the app's code.
        output: The zip file.
        find_app: Called only where the project lacks function_app.py or host.json, which are
            then generated.
        target: The function app's Python and platform.
        fresh: Resolve the dependencies anew.
        check: See that the package can run before it is written.
        say: Told of each step.

    Raises:
        PackagingError: The project cannot be packed as it is, or would not run.
    """
    if not output.parent.is_dir():
        raise PackagingError(f"{output} cannot be written: there is no folder {output.parent}")
    check_output(output)
    own: dict[str, Path | bytes] = {**project_files(project, leave_out={output.resolve()})}
    if "function_app.py" not in own or "host.json" not in own:
        _generate(own, project, find_app(), say)
    if check:
        check_files(own, target, say)
    say(f"installing dependencies for Python {target.python} on {target.platform}")
    installed = install(requirements(project, target), target, cache=cache_folder(), fresh=fresh)
    if installed.is_cached:
        say("dependencies are those of the last build (--no-cache resolves them anew)")
    packages = {**installed.files(), **framework_files()}
    if check:
        say("loading the app")
        check_app(own, packages, target, project, say)
    entries = own | {f"{SITE_PACKAGES}/{name}": source for name, source in packages.items()}
    entries[PINS] = _pinned(installed, target)
    say(f"packing {len(entries):,} files")
    unpacked = write_zip(output, entries)
    return Report(
        path=output,
        size=output.stat().st_size,
        unpacked=unpacked,
        files=len(entries),
        dependencies=tuple(installed.versions()),
    )


def _generate(
    entries: dict[str, Path | bytes],
    project: Path,
    found: AppReference,
    say: Callable[[str], None],
) -> None:
    settings = read_settings(project)
    module = found.module.replace(".", "/")
    if f"{module}.py" not in entries and f"{module}/__init__.py" not in entries:
        raise PackagingError(
            f"the app's module {found.module!r} is not in the package: "
            "it is outside the folder, or .funcignore leaves it out"
        )
    if "function_app.py" not in entries:
        say("generating function_app.py")
        entries["function_app.py"] = function_app_py(found, grpc=settings.grpc).encode()
    if "host.json" not in entries:
        say("generating host.json")
        entries["host.json"] = host_json(found.app, settings).encode()


def function_app_py(found: AppReference, *, grpc: bool) -> str:
    """Return the module that the Python worker indexes."""
    argument = "ostinato_app, grpc=True" if grpc else "ostinato_app"
    return (
        "import ostinato_azure\n"
        f"from {found.module} import {found.attribute} as ostinato_app\n\n"
        f"app = ostinato_azure.function_app({argument})\n"
    )


def packed_python(package: Path) -> str | None:
    """Return the Python that a package was built for; None where `build` did not make it.

    Raises:
        PackagingError: It is no zip file.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            found = _HEAD.match(archive.read(PINS)) if PINS in archive.namelist() else None
    except (OSError, zipfile.BadZipFile) as error:
        raise PackagingError(f"{package} cannot be read: {error}") from None
    return found[1].decode() if found else None


def _pinned(installed: Installed, target: Target) -> bytes:
    """What is in the package; nothing installs it again."""
    head = (
        f"# Packed with ostinato {framework_version()} for Python {target.python} on "
        f"{target.platform}; all of it is in {SITE_PACKAGES}.\n"
    )
    return (head + "".join(f"{line}\n" for line in installed.versions())).encode()
