"""The suite's applications as Azure runs them: built, unpacked, in Microsoft's worker library.

One package holds all the cases; settings say which of the applications a process runs, and on
which wire.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import ostinato as ost
from ostinato.testing.azure.worker_library import LibraryWorker

from .cases import APPS

FUNCTION_APP = """
import os

import ostinato_azure
from conformance.cases import APPS

app = ostinato_azure.function_app(
    APPS[int(os.environ["CONFORMANCE_APP"])], grpc=os.environ["CONFORMANCE_WIRE"] == "durabletask"
)
"""
ARE_PACKED = ("cases*.py", "app.py", "model.py", "world.py")
PYPROJECT = """
[project]
dependencies = ["attrs", "pydantic"]

[tool.ostinato.azure]
grpc = true
"""
KEPT = 8
"""Processes that are kept for the next case of the same application."""


class Package:
    """The built package, unpacked, and the processes that run it; to be closed.

    Args:
        folder: An empty one for the project, its package and what is unpacked.
        python: Interpreter of an environment that has the worker library.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._python = python
        self._app = folder / "app"
        self._workers = OrderedDict[tuple[int, bool], LibraryWorker]()
        self._replaced: list[LibraryWorker] = []
        project = folder / "project"
        cases = project / "conformance"
        cases.mkdir(parents=True)
        (cases / "__init__.py").touch()
        for pattern in ARE_PACKED:
            for module in Path(__file__).parent.glob(pattern):
                shutil.copy(module, cases)
        (project / "function_app.py").write_text(FUNCTION_APP)
        (project / "host.json").write_text('{"version": "2.0"}')
        (project / "pyproject.toml").write_text(PYPROJECT)
        command = [sys.executable, "-m", "ostinato.cli", "build", "azure", "-o", "../app.zip"]
        settings = {"CONFORMANCE_APP": "0", "CONFORMANCE_WIRE": "durabletask"}
        subprocess.run(
            command,
            cwd=project,
            env=os.environ | settings,
            check=True,
            capture_output=True,
            timeout=240,
        )
        with zipfile.ZipFile(folder / "app.zip") as package:
            package.extractall(self._app)

    def worker(self, app: ost.App, *, grpc: bool, fresh: bool) -> LibraryWorker:
        """Return the process of an application of the cases, which stays this object's to end.

        It may have run cases before, unless it is to be ``fresh``.
        """
        while self._replaced:
            self._replaced.pop().close()
        place = APPS.index(app), grpc
        worker = self._workers.pop(place, None)
        if worker is not None and fresh:
            self._replaced.append(worker)  # for as long as its successor is not deployed
            worker = None
        if worker is None:
            worker = LibraryWorker(
                self._app,
                python=self._python,
                settings={
                    "CONFORMANCE_APP": str(place[0]),
                    "CONFORMANCE_WIRE": "durabletask" if grpc else "classic",
                },
            )
        self._workers[place] = worker
        if len(self._workers) > KEPT:
            self._workers.popitem(last=False)[1].close()
        return worker

    def close(self) -> None:
        """End the processes."""
        for worker in (*self._workers.values(), *self._replaced):
            worker.close()
