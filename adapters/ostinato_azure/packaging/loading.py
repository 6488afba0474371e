"""Whether a package can run: its files are read, and its app is loaded as the worker loads it."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from sysconfig import get_platform
from typing import Any

from packaging.tags import platform_tags

from ostinato.testing.azure import host_rules
from ostinato_azure.packaging import loading_child
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.requirements import declared_in
from ostinato_azure.packaging.target import Target

SKIP = "--no-check builds without this check"

LOAD_TIMEOUT = 120.0
"""Seconds in which the app must have been imported."""

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def check_files(
    own: Mapping[str, Path | bytes],
    target: Target,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """See that Azure's host takes host.json, and that every module compiles.

    Args:
        own: The project's files by their name in the package.
        target: The Python that they are for; what only an older one than this refuses is found
            where Python's parser knows of it.
        say: Told of what the host passes over.

    Raises:
        PackagingError: One cannot be read, or is refused.
    """
    try:
        host = host_rules.parse(_data(own["host.json"]))
        host_rules.check(host)
    except host_rules.HostJsonRefused as error:
        raise PackagingError(f"host.json: {error}") from None
    for line in host_rules.passed_over(host):
        say(f"warning: {line}")
    for name, source in own.items():
        if name.endswith(".py"):
            _compile(name, _data(source), target)


def check_app(
    own: Mapping[str, Path | bytes],
    packages: Mapping[str, Path | bytes],
    target: Target,
    project: Path,
    say: Callable[[str], None],
) -> None:
    """Load function_app.py in a fresh interpreter and have it list its functions.

    Where this Python and platform are the target's, that interpreter sees the package's files and
    nothing else. Elsewhere the packages cannot be imported: it has this environment's instead, and
    of what the app's own modules import it is looked up whether the package has it.

    Args:
        own: The project's files by their name in the package.
        packages: The files of what it depends on, by their name within site-packages.
        target: What the package is for.
        project: The folder with the app's code.
        say: Told of what was not tried.

    Raises:
        PackagingError: The app cannot be loaded.
    """
    runs_here = _runs_here(target)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as name:
        folder = Path(name).resolve()
        _lay_out(own, folder / "app")
        if runs_here:
            _lay_out(packages, folder / "packages")
            found = _load(folder / "app", ["-I", "-S"], [str(folder / "packages")])
        else:
            found = _load(folder / "app", ["-P"], [])
    missing, where = found.get("missing"), found.get("where")
    if not runs_here:
        say(
            f"not tried with the packages for Python {target.python} on {target.platform}:"
            f" this is Python {_HERE} on {get_platform()}"
        )
        if missing and _has(packages, missing):
            say(f"the app was not loaded: there is no {missing!r} here, which the package has")
            return
        for name in found.get("imported", ()):
            missing, where = next(_absent(name, _data(own[name]), {*own, *packages}), (None, None))
            if missing:
                break
    if missing:
        raise PackagingError(
            f"there is no module {missing!r} in the package:\n  {where}\n"
            f"hint: {_mend(missing, project)}; {SKIP}"
        )
    if "error" in found:
        raised = f"{found['error']}\n  {where}" if where else found["error"]
        raise PackagingError(
            f"function_app.py cannot be loaded: {raised}\n"
            f"hint: settings that it reads are those of this environment; {SKIP}"
        )


def _compile(name: str, data: bytes, target: Target) -> None:
    minor = int(target.python.partition(".")[2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(data, name, "exec", dont_inherit=True)
            ast.parse(data, name, feature_version=(3, min(minor, sys.version_info.minor)))
    except (SyntaxError, ValueError) as error:
        older = f" (this is Python {_HERE}: build with {target.python})"
        about = older if minor > sys.version_info.minor else ""
        line = ""
        if isinstance(error, SyntaxError) and error.lineno:
            line = f":{error.lineno}: {(error.text or '').strip()}"
        raise PackagingError(
            f"{name} does not compile: {error.args[0]}{about}\n  {name}{line}\n"
            f"hint: name it in .funcignore if it is not of the app; {SKIP}"
        ) from None


def _runs_here(target: Target) -> bool:
    return (
        sys.implementation.name == "cpython"
        and target.python == _HERE
        and target.platforms()[0] in set(platform_tags())
    )


def _lay_out(files: Mapping[str, Path | bytes], folder: Path) -> None:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            shutil.copyfile(source, path)


def _load(folder: Path, flags: list[str], places: list[str]) -> dict[str, Any]:
    program = [sys.executable, *flags, "-B", "-X", "utf8", loading_child.__file__]
    try:
        done = subprocess.run(
            [*program, str(folder), *places],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LOAD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it was not imported within {LOAD_TIMEOUT:.0f} seconds"}
    if not done.stdout:
        said = "".join(f"\n  {line}" for line in done.stderr.strip().splitlines()[-5:])
        return {"error": f"the process that imported it ended with {done.returncode}{said}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _absent(name: str, data: bytes, packed: Collection[str]) -> Iterator[tuple[str, str]]:
    """Modules that a file of the app imports in any case and the package lacks, with the line."""
    lines = data.decode("utf-8", "replace").splitlines()
    for node in ast.parse(data).body:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
        for module in modules:
            if module.partition(".")[0] not in sys.stdlib_module_names and not _has(packed, module):
                yield module, f"{name}:{node.lineno}: {lines[node.lineno - 1].strip()}"


def _has(packed: Collection[str], module: str) -> bool:
    """Whether files hold a module; what a package with an ``__init__`` has is its own to say."""
    path = ""
    for part in module.split("."):
        path += part
        if any(name.startswith((f"{path}.", f"{path}/__init__.")) for name in packed):
            return True
        path += "/"
    return any(name.startswith(path) for name in packed)


def _mend(module: str, project: Path) -> str:
    top = module.partition(".")[0]
    if (project / top).is_dir() or (project / f"{top}.py").is_file():
        return f"the folder has {top!r}, but it is not packed: .funcignore says what is"
    known = importlib.metadata.packages_distributions().get(top, [])
    what = known[0] if len(known) == 1 else f"the distribution of {module!r}"
    return f"add {what} to {declared_in(project)}"


def _data(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
