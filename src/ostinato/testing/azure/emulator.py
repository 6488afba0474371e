"""A function app's folder or package, running on this machine with all that it needs."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ostinato.testing.azure.azurite import (
    HOW_TO_GET_IT,
    KNOWN_PORTS,
    Azurite,
    AzuriteMissingError,
    find_azurite,
    running_azurite,
)
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.host_settings import (
    STORAGE,
    AppSettings,
    HostJson,
    SettingsError,
    is_connection_string,
    not_a_connection_string,
)
from ostinato.testing.azure.management import WEBHOOK
from ostinato.testing.azure.ports import Log
from ostinato.testing.azure.worker import NEEDED_PYTHON, Function, Worker
from ostinato.testing.azure.worker_child import FAILURE_LOGGER
from ostinato.testing.azure.worker_direct import DirectWorker, load_app
from ostinato.testing.azure.worker_library import LibraryWorker

DEVELOPMENT = "UseDevelopmentStorage=true"
"""What local.settings.json has for the storage emulator."""

LIVE_VARIABLE = "OSTINATO_LIVE_BYTES"
"""The app setting of what executions kept between turns may take."""

_STORAGE_TRIGGERS = {"queuetrigger", "blobtrigger"}


class Emulator:
    """Runs an app from when it is made; a context manager.

    Args:
        source: A function app's folder, or the zip file of one.
        port: 0 for one that is free.
        storage: A connection string; it becomes the app setting ``AzureWebJobsStorage``.
        use_azurite: Whether an Azurite serves an app that has no storage or names the development
            storage: for the latter one that runs, else one that is started, if there is one.
        azurite_ports: Where one that runs is looked for.
        host_json: Text of the host.json, for a folder that has none.
        replay_always: Whether the app, if it is one of ours, replays every turn from the top.
        python: The interpreter of the functions, with ``azure-functions-runtime``. When None,
            this one; where that has no such library, the functions run in this process.
        log: Takes lines for people: what functions print and log, what failed, and what became
            of the process in which they run.

    Raises:
        AzuriteMissingError: Azurite was found, and does not start.
        IndexingFailed: The app cannot be loaded.
        PortInUseError: The port is taken.
        SettingsError: The source is no function app, or its storage is named by what is no
            connection string.
    """

    def __init__(
        self,
        source: Path,
        *,
        port: int = 0,
        storage: str | None = None,
        use_azurite: bool = True,
        azurite_ports: Mapping[str, int] = KNOWN_PORTS,
        host_json: str | None = None,
        replay_always: bool = False,
        python: Path | None = None,
        log: Log,
    ) -> None:
        self._clean_up = ExitStack()
        self._notes: list[str] = []
        self._use_azurite = use_azurite
        self._azurite_ports = azurite_ports
        try:
            folder = self._unpacked(source)
            if host_json is None:
                self._json = HostJson.read(folder)
            else:
                self._json = HostJson.parse(host_json.encode(), folder / "host.json")
            self._notes += [f"warning: {line}" for line in self._json.passed_over]
            settings = self._settings(folder, storage)
            if replay_always:
                settings = AppSettings({**settings.values, LIVE_VARIABLE: "0"})
            self._has_storage = STORAGE in settings.values
            self._log = log
            self._restarting = threading.Lock()
            self._load = self._loader(folder, settings, python, log)
            self._worker = self._load() if self._load else DirectWorker(load_app(folder))
            self._clean_up.callback(lambda: self._worker.close())
            self.host = self._clean_up.enter_context(
                FunctionsHost(
                    self._worker,
                    host_json=self._json,
                    settings=settings,
                    port=port,
                    log=log,
                    folder=folder,
                    restart=self.restart if self._load else None,
                )
            )
            """The running host."""
            self.host.start_polling()
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[str]:
        """What there is, for people: every function and how it is reached."""
        yield from self._notes
        functions = self._worker.functions
        width = max((len(function.name) for function in functions), default=0)
        for function in functions:
            off = self.host.off.get(function.name)
            how = f"off: {off}" if off else self._how(function)
            yield f"  {function.name:<{width}}  {how}"
        if not self._has_storage and any(map(self._needs_storage, self.host.off)):
            mend = (
                f"to get Azurite: {HOW_TO_GET_IT}" if self._use_azurite else "--storage names one"
            )
            yield f"queue and blob triggers need storage; {mend}"
        yield f"management API: {self.host.url}{WEBHOOK}"

    def restart(self) -> None:
        """Go on with the code as it is in the folder now, as after a deployment; instances stay.

        What a function was doing is lost, and done again by the new code.

        Raises:
            IndexingFailed: It cannot be loaded; the code before goes on.
            RuntimeError: Functions run in this process, which keeps what it has imported.
        """
        if self._load is None:
            raise RuntimeError("functions run in this process, which keeps what it has imported")
        with self._restarting:
            worker, before = self._load(), self._worker
            self._worker = worker
            self.host.deploy(worker)
            before.close()
        self._log(f"loaded again: {len(worker.functions)} functions")

    def close(self) -> None:
        """End the app and all that was started for it."""
        self._clean_up.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unpacked(self, source: Path) -> Path:
        if source.is_dir():
            return source
        if not source.is_file():
            raise SettingsError(f"there is no folder or zip file {source}")
        folder = Path(self._clean_up.enter_context(tempfile.TemporaryDirectory()))
        try:
            with zipfile.ZipFile(source) as package:
                package.extractall(folder)
        except zipfile.BadZipFile:
            raise SettingsError(f"{source} is neither a folder nor a zip file") from None
        return folder

    def _settings(self, folder: Path, storage: str | None) -> AppSettings:
        """The app's settings; the environment goes before local.settings.json, as in ``func``."""
        values = {**AppSettings.read(folder).values, **os.environ}
        where = f"{STORAGE} in local.settings.json"
        if STORAGE in os.environ:
            where = f"{STORAGE} in the environment"
        if storage is not None:
            values[STORAGE], where = storage, "--storage"
        given = values.get(STORAGE)
        if given and given != DEVELOPMENT and not is_connection_string(given):
            raise SettingsError(not_a_connection_string(where))
        waiting = [name for name, value in values.items() if value == DEVELOPMENT]
        found = self._running_azurite() if waiting and self._use_azurite else None
        if not values.get(STORAGE):
            waiting.append(STORAGE)
        if waiting and self._use_azurite and found is None:
            found = self._own_azurite(folder)
        for name in waiting:
            values.pop(name, None)
            if found is not None:
                values[name] = found
        return AppSettings(values)

    def _running_azurite(self) -> str | None:
        found = running_azurite(self._azurite_ports)
        if found is not None:
            port = self._azurite_ports["Blob"]
            self._notes.append(f"storage is the Azurite that runs at port {port} ({DEVELOPMENT})")
        return found

    def _own_azurite(self, folder: Path) -> str | None:
        program = find_azurite(folder) or find_azurite(Path.cwd())
        if program is None:
            return None
        try:
            azurite = self._clean_up.enter_context(Azurite(program))
        except OSError as error:
            raise AzuriteMissingError(f"{program} does not start: {error}") from None
        self._notes += [
            f"storage is an Azurite of its own ({program}), empty at the start; to reach it:",
            f'  {STORAGE}="{azurite.connection_string}"',
        ]
        return azurite.connection_string

    def _loader(
        self, folder: Path, settings: AppSettings, python: Path | None, log: Log
    ) -> Callable[[], Worker] | None:
        """What starts a worker in a process of its own; None where functions run in this one."""
        if python is not None or importlib.util.find_spec("azure_functions_runtime"):
            return partial(
                LibraryWorker,
                folder,
                python=python or Path(sys.executable),
                settings=settings.values,
                on_line=log,
            )
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._notes.append(
            f"functions run in this process: Python {version} has no azure-functions-runtime,"
            f" which needs {NEEDED_PYTHON} (--python names one that has it)"
        )
        os.environ.update(settings.values)
        failures = logging.getLogger(FAILURE_LOGGER)
        self._clean_up.callback(setattr, failures, "disabled", failures.disabled)
        failures.disabled = True
        return None

    def _how(self, function: Function) -> str:
        """How a function is called."""
        trigger = function.trigger
        match str(trigger["type"]).lower():
            case "httptrigger":
                (route,) = [r for r in self.host.routes if r.function.name == function.name]
                methods = ",".join(route.methods) if trigger.get("methods") else "any method"
                return f"{methods} {self.host.url}/{route.path}"
            case "queuetrigger":
                return f"queue {trigger['queueName']}"
            case "blobtrigger":
                return f"blobs {trigger['path']}"
            case "timertrigger":
                return f"timer {trigger['schedule']}"
            case _:
                return str(trigger["type"]).removesuffix("Trigger")

    def _needs_storage(self, name: str) -> bool:
        (function,) = [found for found in self._worker.functions if found.name == name]
        return str(function.trigger["type"]).lower() in _STORAGE_TRIGGERS
