"""Microsoft's in-memory Durable Task backend, on loopback and on a manual clock.

`durabletask.testing` has its timers, and its watchers of children, on threads that sleep and wait
in real time. Here the function of such a thread is called at once, up to where it would sleep or
wait, and again from its beginning when that is over. So nothing of the engine is rewritten, and it
is known when nothing moves. One thing differs: a watcher does not give up after 30 seconds.
"""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import grpc  # type: ignore[import-untyped]
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.testing import in_memory_backend as microsoft

from ostinato.testing import ManualClock

ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""Options of a server or channel without gRPC's own limit of 4 MB."""

Target = Callable[[], None]


class _Sleeps(BaseException):
    """The function of a thread would sleep here."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class _Waits(BaseException):
    """The function of a thread would wait here, for an instance to end."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id


class Backend(microsoft.InMemoryOrchestrationBackend):
    """The backend; one at a time, since what its module knows of time is replaced."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self._moved = threading.Condition(self._lock)
        self._broken: BaseException | None = None
        self._activities = 0
        self._timers: list[tuple[datetime, int, Target]] = []
        self._order = count()
        self._is_due = False
        self._watchers: defaultdict[str, list[Target]] = defaultdict(list)
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(microsoft, "datetime", _datetime_on(clock))
        self._patches.setattr(microsoft, "time", SimpleNamespace(sleep=self._sleep))
        self._patches.setattr(microsoft, "threading", SimpleNamespace(Thread=self._thread))
        clock.subscribe(self._fire)

    def start(self) -> str:
        """Serve on a free port of 127.0.0.1; return the address."""
        self._pool = ThreadPoolExecutor(thread_name_prefix="backend")
        server: Any = grpc.server(self._pool, options=ANY_SIZE)
        cast(Any, stubs).add_TaskHubSidecarServiceServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self._server = server
        return f"127.0.0.1:{port}"

    def stop(self, grace: float | None = None) -> None:
        """Stop serving, and give the module its time back."""
        super().stop(grace)
        self._pool.shutdown()
        self._patches.undo()

    def break_off(self, error: BaseException) -> None:
        """Tell whoever waits that a worker broke."""
        with self._moved:
            self._broken = error
            self._moved.notify_all()

    def settle(self, timeout: float) -> None:
        """Wait until nothing can move without time or a message."""
        with self._moved:
            settled = self._moved.wait_for(lambda: self._broken or not self._moves(), timeout)
            if self._broken is not None:
                raise self._broken
            if not settled:
                raise TimeoutError("the backend is still at work")

    def next_due(self) -> datetime | None:
        """When the first timer is due."""
        with self._lock:
            return self._timers[0][0] if self._timers else None

    def _moves(self) -> bool:
        queued = (self._instances.get(instance_id) for instance_id in self._orchestration_queue)
        return bool(
            self._activities
            or self._orchestration_in_flight
            or any(instance is not None and instance.pending_events for instance in queued)
        )

    # Threads that do not run

    def _thread(self, target: Target, daemon: bool) -> SimpleNamespace:
        return SimpleNamespace(start=lambda: self._run(target))

    def _run(self, target: Target) -> None:
        try:
            target()
        except _Sleeps as asleep:
            due = self._clock.now() + timedelta(seconds=asleep.seconds)
            heapq.heappush(self._timers, (due, next(self._order), target))
        except _Waits as waiting:
            self._watchers[waiting.instance_id].append(target)

    def _sleep(self, seconds: float) -> None:
        if not self._is_due and seconds > 0:
            raise _Sleeps(seconds)

    def _fire(self) -> None:
        """Run what has slept long enough."""
        with self._lock:
            self._is_due = True
            while self._timers and self._timers[0][0] <= self._clock.now():
                _, _, target = heapq.heappop(self._timers)
                self._run(target)
            self._is_due = False

    def _wait_for_state(
        self,
        instance_id: str,
        predicate: Callable[[microsoft.OrchestrationInstance], bool],
        timeout: float | None,
    ) -> microsoft.OrchestrationInstance | None:
        """Only watchers wait here."""
        instance = self._instances.get(instance_id)
        if instance is not None and predicate(instance):
            return instance
        raise _Waits(instance_id)

    def _notify_waiters(self, instance_id: str) -> None:
        for target in self._watchers.pop(instance_id, []):
            self._run(target)

    # Knowing when nothing moves

    def _process_schedule_task_action(
        self, instance: microsoft.OrchestrationInstance, action: pb.OrchestratorAction
    ) -> None:
        super()._process_schedule_task_action(instance, action)
        self._activities += 1

    def CompleteActivityTask(self, request: pb.ActivityResponse, context: Any) -> Any:
        """Complete an activity."""
        answer = super().CompleteActivityTask(request, context)
        with self._moved:
            self._activities -= 1
            self._moved.notify_all()
        return answer

    def CompleteOrchestratorTask(self, request: pb.OrchestratorResponse, context: Any) -> Any:
        """Complete a turn."""
        answer = super().CompleteOrchestratorTask(request, context)
        with self._moved:
            self._moved.notify_all()
            # What was queued during the turn would else be found at the next look, 0.1 s later.
            self._work_available.set()
        return answer


def _datetime_on(clock: ManualClock) -> type[datetime]:
    class Clocked(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now()

    return Clocked
