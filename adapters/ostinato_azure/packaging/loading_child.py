"""The program that loads function_app.py as the Python worker does, and tells how that went.

Run as a script by an interpreter of its own, with the folder and then other places of modules;
it imports nothing of this package, so that nothing but the app and what the app brings is there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main(folder: Path, places: list[str]) -> None:
    """Load the folder's app; write one JSON object to standard output."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the app prints must not come between
    sys.path[:0] = [*places, str(folder)]
    with answer:
        json.dump(load(folder), answer)
    os._exit(0)  # threads that the app began must not keep us


def load(folder: Path) -> dict[str, Any]:
    """Return what is wrong, else the app's own files that were imported."""
    try:
        module = importlib.import_module("function_app")
        from azure.functions import FunctionRegister

        apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
        if len(apps) != 1:
            return {"error": f"it declares {len(apps) or 'no'} function apps; one is needed"}
        apps[0].get_functions()
    except BaseException as error:  # sys.exit() among them
        return failure(error, folder)
    files = [Path(module.__dict__.get("__file__") or "/") for module in sys.modules.values()]
    own = [path.relative_to(folder).as_posix() for path in files if path.is_relative_to(folder)]
    return {"imported": own}


def failure(error: BaseException, folder: Path) -> dict[str, Any]:
    """Return what was raised, the module that is missing, and the app's own line that did it."""
    own = [
        f"{path.relative_to(folder).as_posix()}:{frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := Path(frame.filename)).is_relative_to(folder)
    ]
    return {
        "error": f"{type(error).__name__}: {error}",
        "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
        "where": own[-1] if own else None,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
