"""Finding the user's application, by name or by looking where it usually is."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import msgspec

import ostinato as ost
from ostinato.cli.outcome import UsageError, similar

USUAL = ("app", "main", "orchestrations")
"""Modules that are looked at when no application is named."""

_DECLARES = re.compile(r"^[^#\n]*=\s*(?:[\w.]+\.)?App\(", re.MULTILINE)


def find_app(target: str | None, folder: Path) -> ost.App:
    """Return the application ``target`` names, else the one that ``folder`` has.

    Args:
        target: ``module``, ``module:attribute``, ``file.py`` or ``file.py:attribute``.
        folder: Becomes importable, like the folder of a script.

    Raises:
        UsageError: There is none, or it cannot be imported; the message says what was tried.
    """
    if target is not None:
        return _load(target, folder)
    if configured := _configured(folder):
        return _load(*configured)
    tried = ["[tool.ostinato] app in pyproject.toml"]
    for name in USUAL:
        if _mentions_app(folder, name):
            apps = _apps(_import(name, folder))
            if len(apps) == 1:
                return next(iter(apps.values()))
            tried.append(f"module {name} ({'several apps' if apps else 'has no app'})")
        else:
            tried.append(f"module {name}")
    declaring = [path for path in sorted(folder.glob("*.py")) if _DECLARES.search(_text(path))]
    if len(declaring) == 1:
        return _load(declaring[0].stem, folder)
    tried.append(
        "several files of the folder declare one: " + ", ".join(path.name for path in declaring)
        if declaring
        else "*.py in the folder"
    )
    raise UsageError(
        f"found no application in {folder}: tried {'; '.join(tried)}\n"
        "hint: name it with --app module:attribute"
    )


def app_at_hand(folder: Path) -> ost.App | None:
    """Return the application that ``folder`` has, for what goes on without one."""
    try:
        return find_app(None, folder)
    except UsageError:
        return None


def _configured(folder: Path) -> tuple[str, Path] | None:
    """``[tool.ostinato] app`` of the nearest pyproject.toml, and that file's folder."""
    import tomllib

    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            read = msgspec.convert(tomllib.loads(_text(path)), _Pyproject)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is no TOML: {error}") from None
        except msgspec.ValidationError as error:
            raise UsageError(f"{path}: {error}") from None
        app = read.tool.ostinato.app
        return (app, parent) if app is not None else None
    return None


class _Ostinato(msgspec.Struct, frozen=True):
    app: str | None = None


class _Tool(msgspec.Struct, frozen=True):
    ostinato: _Ostinato = _Ostinato()


class _Pyproject(msgspec.Struct, frozen=True):
    tool: _Tool = _Tool()


def _load(target: str, folder: Path) -> ost.App:
    name, _, attribute = target.partition(":")
    if name.endswith(".py"):
        path = (folder / name).resolve()
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        name, folder = path.stem, path.parent
    apps = _apps(_import(name, folder))
    if not attribute:
        if len(apps) == 1:
            return next(iter(apps.values()))
        found = f"several apps ({', '.join(apps)})" if apps else "no app"
        raise UsageError(f"module {name!r} has {found}: name it with --app {name}:attribute")
    if attribute not in apps:
        raise UsageError(f"module {name!r} has no app {attribute!r}{similar(attribute, [*apps])}")
    return apps[attribute]


def _import(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        with redirect_stdout(sys.stderr):  # standard output is for what is asked
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {name!r} in {folder}") from None
        raise UsageError(_import_failure(name, error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_import_failure(name, error)) from error


OURS = Path(ost.__file__).parent
"""Where the user's mistakes are found, but never made."""


def _import_failure(name: str, error: BaseException) -> str:
    """Say what was raised and the user's line that did it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not Path(frame.filename).is_relative_to(OURS)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        where = f"\n  {error.filename}:{error.lineno}: {(error.text or '').strip()}"
    elif frames:
        where = f"\n  {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}"
    else:
        where = ""
    return f"module {name!r} cannot be imported: {type(error).__name__}: {error}{where}"


def _apps(module: ModuleType) -> dict[str, ost.App]:
    """The module's applications by attribute, each once."""
    apps: dict[str, ost.App] = {}
    for name, value in vars(module).items():
        if isinstance(value, ost.App) and value not in apps.values():
            apps[name] = value
    return apps


def _mentions_app(folder: Path, name: str) -> bool:
    """Whether it is worth importing: a module that is there and has something named app."""
    paths = (folder / f"{name}.py", folder / name / "__init__.py")
    return any(path.is_file() and re.search(r"\bapp\b|\bApp\(", _text(path)) for path in paths)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def orchestration_names(app: ost.App) -> Iterator[str]:
    """Names of the orchestrations that ``app`` can run itself, each once."""
    return iter(dict.fromkeys(d.name for d in app.registry.orchestrations() if d.fn is not None))
