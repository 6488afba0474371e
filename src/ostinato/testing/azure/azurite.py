"""Azurite, Microsoft's emulator of Azure Storage: as a child process on free ports, or found."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT = 60.0
"""Seconds in which it must listen."""

HOW_TO_GET_IT = "npm install azurite (it needs Node.js), or: npm install --global azurite"

_OPTIONS = (
    *("--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry"),
    *("--blobPort", "0", "--queuePort", "0", "--tablePort", "0"),
)
_ACCOUNT = "devstoreaccount1"
KNOWN_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The key of an Azurite that was given none: Microsoft has published it, and every tool has it."""

KNOWN_PORTS = {"Blob": 10000, "Queue": 10001, "Table": 10002}
"""Where tools look for Azurite: what ``UseDevelopmentStorage=true`` stands for."""

_ASK_TIMEOUT = 2.0
"""Seconds in which a port of this machine answers."""

_WATCH = Path(__file__).with_name("azurite_watch.cjs")
_LISTENS = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (\S+)")


class AzuriteMissingError(Exception):
    """It is not installed, or does not start; the message says what to do."""


def find_azurite(folder: Path) -> Path | None:
    """Return the program: from ``node_modules`` of the folder or one above it, else from PATH."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        program = parent / "node_modules" / ".bin" / "azurite"
        if program.is_file():
            return program
    found = shutil.which("azurite")
    return Path(found) if found else None


def running_azurite(ports: Mapping[str, int] = KNOWN_PORTS) -> str | None:
    """Return the connection string of the Azurite whose blobs and queues answer there, if any."""
    if not all(_is_azurite(ports[service]) for service in ("Blob", "Queue")):
        return None
    return _connection_string(
        KNOWN_KEY, {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
    )


def _is_azurite(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_TIMEOUT)
    try:
        connection.request("GET", "/")
        return connection.getresponse().getheader("Server", "").startswith("Azurite-")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connection_string(key: str, endpoints: Mapping[str, str]) -> str:
    told = "".join(f"{service}Endpoint={url}/{_ACCOUNT};" for service, url in endpoints.items())
    return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={key};{told}"


class Azurite:
    """Blobs, queues and tables in memory, on ports of 127.0.0.1 that were free; a context manager.

    It ends with this process, however that ends.

    Its key is the known one unless it is told otherwise: then a connection string that was printed
    or logged is no secret, and is taken for none (`ostinato build` refuses files with storage
    keys). Who is on this machine can use an Azurite that Microsoft's tools start, too; nobody else
    reaches it.

    Args:
        program: What `find_azurite` found.
        key: Its account's, in base64.
        options: Further ones of the program, such as ``--cert``.

    Raises:
        AzuriteMissingError: It did not start; the message has its last lines.
    """

    def __init__(self, program: Path, *, key: str = KNOWN_KEY, options: Sequence[str] = ()) -> None:
        self._lines = deque[str](maxlen=20)
        self._endpoints: dict[str, str] = {}
        self._listening = Future[None]()
        self._process = subprocess.Popen(
            [str(program), *_OPTIONS, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{key}",
                "NODE_OPTIONS": f'{os.environ.get("NODE_OPTIONS", "")} --require "{_WATCH}"',
            },
            start_new_session=True,  # Ctrl-C in a terminal is ours to handle
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._listening.result(START_TIMEOUT)
        except TimeoutError:
            self.close()
            raise AzuriteMissingError(f"{program} did not start: {self._last_lines()}") from None
        except BaseException:
            self.close()
            raise
        self.connection_string = _connection_string(key, self._endpoints)
        """Reaches it."""

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def close(self) -> None:
        """End the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip())
            if found := _LISTENS.search(line):
                self._endpoints[found[1]] = found[2]
                if len(self._endpoints) == 3:
                    self._listening.set_result(None)
        if not self._listening.done():
            why = f"{self._process.args!r} ended at once: {self._last_lines()}"
            self._listening.set_exception(AzuriteMissingError(why))

    def _last_lines(self) -> str:
        return "\n".join(self._lines) or "(it printed nothing)"
