"""The world outside the orchestrations: a loopback HTTP server.

Activities note in it what they did, find in it what is mended and wait in it for gates to
open, whatever process a host runs them in; orchestrations call it with ``ctx.call_http``.
It is found through an environment variable, the same for all tests, so that processes which
outlive a test find the room of the next one.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

VARIABLE = "OSTINATO_CONFORMANCE_WORLD"
PATIENCE = 30.0
"""Seconds that anyone waits for a note or a gate."""


class Room:
    """What happened in one test."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._notes: list[str] = []
        self._gates: set[str] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        with self._changed:
            return tuple(self._notes)

    def note(self, key: str) -> int:
        """Write ``key`` down and return how often it has been."""
        with self._changed:
            self._notes.append(key)
            self._changed.notify_all()
            return self._notes.count(key)

    def open(self, gate: str) -> None:
        with self._changed:
            self._gates.add(gate)
            self._changed.notify_all()

    def is_open(self, gate: str) -> bool:
        with self._changed:
            return gate in self._gates

    def await_open(self, gate: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: gate in self._gates, PATIENCE)

    def await_note(self, key: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._notes, PATIENCE):
                raise AssertionError(f"nobody noted {key!r}; noted: {self._notes}")


class World:
    """The server."""

    def __init__(self) -> None:
        self.room = Room()
        """The room of the test that runs."""
        world = self

        class Handler(_Handler):
            @property
            def room(self) -> Room:
                return world.room

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    @property
    def room(self) -> Room:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        _, verb, rest = self.path.split("/", 2)
        room = self.room
        match verb:
            case "note":
                self._answer(200, room.note(rest))
            case "open":
                room.open(rest)
                self._answer(200, True)
            case "is-open":
                self._answer(200, room.is_open(rest))
            case "await-open":
                self._answer(200, room.await_open(rest))
            case "echo":
                kind = self.headers.get("Content-Type")
                mark = self.headers.get("X-Mark")
                answer = {"method": self.command, "body": body, "type": kind, "mark": mark}
                self._answer(200, answer)
            case "status":
                self._answer(int(rest), f"status {rest}")
            case "job":
                self._job(room, int(rest))
            case _:
                self._answer(404, f"no such place: {self.path}")

    def _job(self, room: Room, left: int) -> None:
        """Long work: to be asked ``left`` times more before it is done."""
        room.note(f"{self.command} job {left}")
        if left == 0:
            self._answer(200, "done")
        else:
            headers = {"Location": f"/job/{left - 1}", "Retry-After": "5"}
            self._answer(202, "working", headers)

    def _answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)


def here() -> str:
    """The URL of the world."""
    return os.environ[VARIABLE]


def note(key: str) -> int:
    """Write ``key`` down, from an activity, and return how often it has been."""
    return int(_ask("note", key))


def is_open(gate: str) -> bool:
    return bool(_ask("is-open", gate))


def open_gate(gate: str) -> None:
    _ask("open", gate)


def await_open(gate: str) -> None:
    if not _ask("await-open", gate):
        raise AssertionError(f"nobody opened {gate!r}")


def _ask(verb: str, key: str) -> int:
    place = urlsplit(here())
    connection = http.client.HTTPConnection(place.netloc, timeout=2 * PATIENCE)
    try:
        connection.request("POST", f"/{verb}/{key}")
        return int(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
