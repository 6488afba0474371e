"""The local host: an application, a task hub and the engine that runs the one on the other."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from ostinato import waits
from ostinato.app import App
from ostinato.arguments import count, seconds
from ostinato.definitions import Registry
from ostinato.errors import HubLockedError, StoreError
from ostinato.local.client import LocalClient
from ostinato.local.clock import Clock, SystemClock
from ostinato.local.engine import Engine
from ostinato.local.gateway import EngineGateway, StoreGateway
from ostinato.local.progress import Progress, ProgressReader
from ostinato.local.running import RunningActivity
from ostinato.local.store import Store
from ostinato.replay import Orchestration

if TYPE_CHECKING:
    from typing import Self

MEMORY = ":memory:"

_PROGRESS_READERS = 100
"""Instances whose counts are kept between calls of `LocalHost.progress`."""


def open_store(store: str | PathLike[str] | Store) -> Store:
    """Return the store itself, or open the file; ``:memory:`` is a store that is not kept."""
    if store == MEMORY:
        from ostinato.local.memory import MemoryStore

        return MemoryStore()
    if isinstance(store, (str, PathLike)):
        from ostinato.local.sqlite import SqliteStore

        return SqliteStore(store)
    return store


class LocalHost:
    """Runs an application on a task hub of this machine.

    Use it as a context manager. Whatever was in flight when the last host of the hub
    stopped, however it stopped, goes on.

    Args:
        app: The application.
        store: A file's path, ``:memory:``, or a `Store`.
        clock: What tells the time.
        max_concurrent_activities: Activities that run at a time.
        cache_size: Orchestrations that are kept ready between turns; others are replayed.
        max_crashes: An activity that was running in so many crashes of its process fails.
        poll_interval: Seconds between looks for messages of other processes.
        shutdown_timeout: Seconds that closing waits for running activities.

    Raises:
        HubLockedError: Another process executes the hub.
        StoreError: The file cannot be used; see its subclasses.
    """

    def __init__(
        self,
        app: App,
        store: str | PathLike[str] | Store = "ostinato.db",
        *,
        clock: Clock | None = None,
        max_concurrent_activities: int = 32,
        cache_size: int = 1000,
        max_crashes: int = 5,
        poll_interval: float = 0.1,
        shutdown_timeout: float = 5.0,
    ) -> None:
        if not isinstance(app, App):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"LocalHost takes an App first, not {type(app).__name__} ({app!r})")
        count(max_concurrent_activities, "max_concurrent_activities")
        count(cache_size, "cache_size", least=0)
        count(max_crashes, "max_crashes")
        seconds(poll_interval, "poll_interval")
        seconds(shutdown_timeout, "shutdown_timeout")
        self._shutdown_timeout = shutdown_timeout
        self._registry = app.registry
        self._store = open_store(store)
        self._owns_store = self._store is not store
        the_clock = SystemClock() if clock is None else clock
        engine: Engine | None = None
        try:
            engine = Engine(
                app.registry,
                self._store,
                the_clock,
                max_concurrent_activities=max_concurrent_activities,
                cache_size=cache_size,
                max_crashes=max_crashes,
                poll_interval=poll_interval,
            )
            self.recovered = engine.start()
        except BaseException as error:
            if engine is not None:
                engine.close(0)
            # A store that was given to us is still the other host's.
            if self._owns_store or not isinstance(error, HubLockedError):
                self._store.close()
            raise
        self._engine = engine
        self.client = LocalClient(self._store, EngineGateway(self._engine), the_clock, app.registry)
        self._lock = Lock()
        self._progress: dict[str, ProgressReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop. Activities that run are asked to stop, and run again at the next start."""
        self._engine.close(self._shutdown_timeout)
        self._store.close()

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until nothing moves any more without time or messages; for tests.

        Raises:
            TimeoutError: Something still moves after ``timeout`` seconds.
        """
        if not self._engine.settle(timeout):
            raise TimeoutError(f"the host has not come to rest within {timeout} s")

    @property
    def trouble(self) -> Exception | None:
        """Why nothing can be written at the moment; None when all is well."""
        return self._engine.trouble

    def waiting_for(self, instance_id: str) -> list[str]:
        """Say what an unfinished instance waits for, in words; empty when nothing is known.

        Replays it: for people who ask, not for loops.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        return _waiting_for(instance_id, self.client, self._store, self._registry)

    def progress(self, instance_id: str) -> Progress:
        """Count the instance's activities; cheap when called again and again."""
        with self._lock:
            reader = self._progress.pop(instance_id, None)
            if reader is None:
                reader = ProgressReader(self._store, instance_id)
            self._progress[instance_id] = reader  # the one asked for last stays longest
            while len(self._progress) > _PROGRESS_READERS:
                del self._progress[next(iter(self._progress))]
            return reader.read()

    def running(self, instance_id: str) -> list[RunningActivity]:
        """Return the instance's activities that run now, with their last signs of life."""
        return [RunningActivity.of(work) for work in self._engine.running(instance_id)]


class RemoteHub:
    """A task hub that another process executes; see `connect`."""

    def __init__(self, store: str | PathLike[str] | Store, app: App | None) -> None:
        self._store = open_store(store)
        self._registry = None if app is None else app.registry
        self.client = LocalClient(
            self._store, StoreGateway(self._store), SystemClock(), self._registry
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def waiting_for(self, instance_id: str) -> list[str]:
        """See `LocalHost.waiting_for`; without the application little is known."""
        return _waiting_for(instance_id, self.client, self._store, self._registry)

    def progress(self, instance_id: str) -> Progress:
        """Count the instance's activities."""
        return ProgressReader(self._store, instance_id).read()

    def close(self) -> None:
        """Close the hub's file."""
        self._store.close()


def connect(store: str | PathLike[str] | Store, app: App | None = None) -> RemoteHub:
    """Reach a task hub that another process executes, or nobody does at the moment.

    ``with ost.local.connect("ostinato.db") as hub: hub.client.raise_event(...)``

    Args:
        store: The hub's file, which has to exist.
        app: The application; with it, names and inputs are checked when instances are started.

    Raises:
        StoreError: There is no such file, or it cannot be used.
    """
    if isinstance(store, (str, PathLike)) and not Path(store).is_file():
        raise StoreError(f"there is no task hub {str(store)!r}; a LocalHost makes it")
    return RemoteHub(store, app)


def _waiting_for(
    instance_id: str, client: LocalClient, store: Store, registry: Registry | None
) -> list[str]:
    history = client.get_history(instance_id)
    if not history:
        started = store.first_event(instance_id)
        due = started.start_at if started is not None else None
        return [] if due is None else [waits.start(due)]
    if registry is None:
        return []
    orchestration = Orchestration(registry)
    orchestration.replay(history)
    try:
        return orchestration.waiting_for()
    finally:
        orchestration.close()
