from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.client import Query, RuntimeStatus, Start
from ostinato.errors import OstinatoError, StoreError
from ostinato.local.engine import Command
from ostinato.local.sqlite import SqliteStore
from ostinato.local.store import Change, Message
from ostinato.local.workers import MAX_UNREAD
from ostinato.testing import ManualClock
from ostinato.testing.crashes import CrashingStore
from tests.local import process_activities
from tests.local.conftest import Hub

PATIENCE = 30.0
HOUR = timedelta(hours=1)


class Gate:
    """An activity's body that is held until told; thread-safe."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.runs = 0
        self.cancelled: list[bool] = []

    def hold(self) -> int:
        self.runs += 1
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        return self.runs

    def wait_cancelled(self, context: ost.ActivityContext) -> int:
        self.runs += 1
        self.began.set()
        if self.runs == 1:
            self.cancelled.append(context.wait_cancelled(PATIENCE))
            context.raise_if_cancelled()
        return self.runs


class Logged(logging.Handler):
    """Notices when the engine logs a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen = threading.Event()
        self._text = text
        logging.getLogger("ostinato.local").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.seen.set()

    def close(self) -> None:
        logging.getLogger("ostinato.local").removeHandler(self)
        super().close()


def calling(activity: Callable[..., Any], name: str = "calls", **options: Any) -> ost.App:
    """An application of one orchestration that calls one activity."""
    app = ost.App("one")
    app.activity(name="work", **options)(activity)

    def calls(ctx: ost.OrchestrationContext):
        return (yield ctx.call_activity("work"))

    app.orchestration(name=name)(calls)
    return app


def waiting() -> ost.App:
    """An application whose orchestrations wait for events and timers."""
    app = ost.App("waiting")

    @app.orchestration
    def waits(ctx: ost.OrchestrationContext, name: str | None):
        return (yield ctx.wait_for_external_event(name or "go"))

    @app.orchestration
    def sleeps(ctx: ost.OrchestrationContext):
        before = ctx.current_utc_datetime
        yield ctx.create_timer(HOUR)
        return (ctx.current_utc_datetime - before).total_seconds()

    return app


def writer(host: ost.local.LocalHost) -> Any:
    """The connection by which a host writes its file."""
    store: Any = host._store
    return store._inner._writer


def fill_disk(host: ost.local.LocalHost) -> None:
    (pages,) = writer(host).execute("PRAGMA page_count").fetchone()
    writer(host).execute(f"PRAGMA max_page_count = {pages}")


def free_disk(host: ost.local.LocalHost) -> None:
    writer(host).execute("PRAGMA max_page_count = 1073741823")


# Storage that fails


def test_a_start_on_a_full_disk_is_refused_and_leaves_nothing(file_hub: Hub):
    host = file_hub.open(waiting())
    fill_disk(host)
    starts = [Start(name="waits", input="x" * 1000) for _ in range(100)]
    with pytest.raises(StoreError, match="disk is full"):
        host.client.start_many(starts)
    assert isinstance(host.trouble, StoreError)
    assert host.client.list_instances().instances == []
    free_disk(host)
    assert len(host.client.start_many(starts)) == 100
    assert host.trouble is None


def test_what_completes_while_the_disk_is_full_is_recorded_when_there_is_room(file_hub: Hub):
    gate = Gate()

    def produce() -> str:
        gate.hold()
        return "x" * 100_000

    host = file_hub.open(calling(produce))
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    fill_disk(host)
    troubled = Logged("disk is full")
    gate.go_on.set()
    assert troubled.seen.wait(PATIENCE)
    troubled.close()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.RUNNING
    free_disk(host)
    assert host.client.wait(instance_id, PATIENCE).output == "x" * 100_000
    assert gate.runs == 1


def test_a_host_that_ends_with_a_full_disk_loses_nothing(file_hub: Hub):
    gate = Gate()

    def produce() -> str:
        gate.hold()
        return "x" * 100_000

    app = calling(produce)
    host = file_hub.open(app)
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    fill_disk(host)
    gate.go_on.set()
    host.close()
    host = file_hub.open(app)
    assert host.client.wait(instance_id, PATIENCE).output == "x" * 100_000
    assert gate.runs == 2


def test_a_read_only_file_refuses_commands_and_recovers(file_hub: Hub, caplog):
    host = file_hub.open(waiting())
    instance_id = host.client.start("waits")
    writer(host).execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="read-only"):
        host.client.raise_event(instance_id, "go", 1)
    with pytest.raises(StoreError, match="read-only"):
        host.client.start("waits")
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.RUNNING
    writer(host).execute("PRAGMA query_only = OFF")
    host.client.raise_event(instance_id, "go", 2)
    assert host.client.wait(instance_id, PATIENCE).output == 2
    assert [r.message for r in caplog.records if "written again" in r.message]


def test_timers_that_are_due_while_nothing_can_be_written_fire_afterwards(file_hub: Hub):
    host = file_hub.open(waiting())
    ids = host.client.start_many([Start(name="sleeps") for _ in range(3)])
    writer(host).execute("PRAGMA query_only = ON")
    file_hub.clock.advance(HOUR)
    with pytest.raises(StoreError):
        host.client.raise_event(ids[0], "go")
    writer(host).execute("PRAGMA query_only = OFF")
    assert [host.client.wait(one, PATIENCE).output for one in ids] == [3600.0] * 3


def test_of_a_cycle_that_cannot_be_written_each_part_is_tried_alone(file_hub: Hub):
    """One of many starts is too large for what is left of the disk."""
    app = waiting()
    gate = Gate()
    app.activity(name="work")(gate.hold)

    @app.orchestration
    def calls(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("work")

    host = file_hub.open(app)
    (pages,) = writer(host).execute("PRAGMA page_count").fetchone()
    writer(host).execute(f"PRAGMA max_page_count = {pages + 8}")
    outcomes: dict[str, BaseException | None] = {}

    def start(name: str, given: str) -> None:
        try:
            host.client.start("waits", given, instance_id=name)
            outcomes[name] = None
        except StoreError as error:
            outcomes[name] = error

    with holding(host):
        threads = [
            threading.Thread(target=start, args=(name, given))
            for name, given in (("small", "a"), ("large", "b" * 200_000), ("other", "c"))
        ]
        for thread in threads:
            thread.start()
        await_queued(host, 3)
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes["small"] is None
    assert outcomes["other"] is None
    assert "disk is full" in str(outcomes["large"])
    host.client.raise_event("small", "a", 1)
    assert host.client.wait("small", PATIENCE).output == 1


def test_a_command_refused_in_a_cycle_that_cannot_be_written_is_answered_once(file_hub: Hub):
    host = file_hub.open(waiting())
    errors: list[BaseException] = []

    def do(verb: Callable[[], object]) -> None:
        try:
            verb()
        except OstinatoError as error:
            errors.append(error)

    verbs = (
        lambda: host.client.start("waits", instance_id="a"),
        lambda: host.client.start("waits", instance_id="b"),
        lambda: host.client.terminate("nobody"),
    )
    writer(host).execute("PRAGMA query_only = ON")
    with holding(host):
        threads = [threading.Thread(target=do, args=(verb,)) for verb in verbs]
        for thread in threads:
            thread.start()
        await_queued(host, 3)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(type(error).__name__ for error in errors) == [
        "InstanceNotFoundError",
        "StoreError",
        "StoreError",
    ]
    writer(host).execute("PRAGMA query_only = OFF")
    host.client.start("waits", instance_id="a")


class holding:
    """Hold the engine in a command, so that others gather for the next cycle."""

    def __init__(self, host: ost.local.LocalHost) -> None:
        self._engine = host._engine
        self._inside, self._leave = threading.Event(), threading.Event()

    def _hold(self, cycle: object) -> None:
        self._inside.set()
        assert self._leave.wait(PATIENCE)

    def __enter__(self) -> None:
        command: Command[None] = Command(self._hold)
        self._engine._inputs.put(command)
        assert self._inside.wait(PATIENCE)

    def __exit__(self, *_: object) -> None:
        self._leave.set()


def await_queued(host: ost.local.LocalHost, count: int) -> None:
    """Wait until so many commands are in the queue of an engine that is held."""
    deadline = time.monotonic() + PATIENCE
    while host._engine._inputs.qsize() < count:
        assert time.monotonic() < deadline, "they do not come"
        os.sched_yield()


def test_what_cannot_be_stored_harms_only_its_own_command(file_hub: Hub):
    gate = Gate()
    app = ost.App("two")
    app.activity(name="work")(gate.hold)

    @app.orchestration
    def both(ctx: ost.OrchestrationContext):
        done = yield ctx.call_activity("work")
        yield ctx.wait_for_external_event("go")
        return done

    host = file_hub.open(app)
    instance_id = host.client.start("both")
    assert gate.began.wait(PATIENCE)
    with holding(host):
        gate.go_on.set()
        thread = threading.Thread(target=raise_nonsense, args=(host, instance_id))
        thread.start()
        await_queued(host, 2)
    thread.join(PATIENCE)
    host.client.raise_event(instance_id, "go")
    assert host.client.wait(instance_id, PATIENCE).output == 1


class PickyStore(CrashingStore):
    """A store that cannot hold the sending of an event called "odd"."""

    def commit(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if any(
                isinstance(event, ev.EventSent) and event.name == "odd" for event in change.events
            ):
                raise ValueError("odd")
        super().commit(changes)


def test_an_instance_whose_turn_cannot_be_stored_fails_alone(hub: Hub):
    app = waiting()

    @app.orchestration
    def sends_odd(ctx: ost.OrchestrationContext, wait: bool):
        if wait:
            yield ctx.create_timer(HOUR)
        else:
            yield ctx.wait_for_external_event("go")
        ctx.send_event("somebody", "odd")
        yield ctx.wait_for_external_event("never")

    host = ost.local.LocalHost(app, store=PickyStore(hub.store()), clock=hub.clock)
    with host:
        sleepers = [host.client.start("sleeps") for _ in range(2)]
        bad = host.client.start("sends_odd", True)
        worse = host.client.start("sends_odd", False)
        with pytest.raises(OstinatoError, match="cannot be written: odd"):
            host.client.raise_event(worse, "go")
        hub.clock.advance(HOUR)
        host.settle()
        assert [host.client.get_status(one).output for one in sleepers] == [3600.0] * 2
        assert host.client.get_status(worse).runtime_status is RuntimeStatus.RUNNING
        failure = host.client.get_status(bad).failure
        assert failure is not None
        assert (failure.type, failure.message) == ("ValueError", "odd")


def raise_nonsense(host: ost.local.LocalHost, instance_id: str) -> None:
    nonsense = ev.EventRaised(at=host._engine._clock.now(), name="\ud800")
    with pytest.raises(OstinatoError, match="cannot be written"):
        host.client._gateway.send(Message(instance_id=instance_id, event=nonsense))


# Hosts that die


HELD = """
import sys, ostinato as ost
app = ost.App("held")

@app.activity
def work() -> str:
    with open(sys.argv[2], "w") as fifo:
        fifo.write("running")
    import threading
    threading.Event().wait()

@app.orchestration
def calls(ctx):
    return (yield ctx.call_activity(work))

host = ost.local.LocalHost(app, sys.argv[1])
if not host.recovered:
    host.client.start(calls, instance_id="a")
host.client.wait("a")
"""


def python(script: str, *args: object) -> subprocess.Popen[str]:
    """Run a script that finds what the tests find."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_host_killed_in_the_middle_of_an_activity_is_recovered(file_hub: Hub, tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert file_hub.path is not None
    with python(HELD, file_hub.path, fifo) as process:
        assert fifo.read_text() == "running"
        process.send_signal(signal.SIGKILL)
    host = file_hub.open(calling(lambda: "done"))
    assert host.recovered == 1
    assert host.client.wait("a", PATIENCE).output == "done"


def test_a_file_whose_host_was_killed_is_locked_by_nobody(file_hub: Hub, tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert file_hub.path is not None
    with python(HELD, file_hub.path, fifo) as process:
        assert fifo.read_text() == "running"
        with pytest.raises(ost.HubLockedError):
            file_hub.open(waiting())
        process.kill()
    file_hub.open(waiting())


EXITS = """
import os, sys, ostinato as ost
app = ost.App("exits")

@app.activity
def work() -> None:
    os._exit(9)

@app.orchestration
def calls(ctx):
    yield ctx.call_activity(work)

with ost.local.LocalHost(app, sys.argv[1], max_crashes=2) as host:
    host.client.start(calls, instance_id="a", if_exists="attach")
    failure = host.client.wait("a").failure
print(failure.type, failure.message)
"""


def test_an_activity_that_ends_its_process_fails_after_so_many_crashes(file_hub: Hub):
    codes: list[int] = []
    output = ""
    for _ in range(3):
        with python(EXITS, file_hub.path) as process:
            output, _ = process.communicate(timeout=PATIENCE)
        codes.append(process.returncode)
    assert codes == [9, 9, 0]
    assert output.startswith("ActivityError activity 'work' was running in 2 crashes")


def test_an_activity_whose_own_process_is_killed_fails_after_so_many_crashes(hub: Hub):
    app = ost.App("processes")
    app.activity(isolation="process")(process_activities.leave)

    @app.orchestration
    def calls(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("leave", "kill")

    host = hub.open(app, max_crashes=2)
    status = host.client.wait(host.client.start("calls"), PATIENCE)
    assert status.failure is not None
    assert status.failure.type == "ActivityError"
    assert "crash 2" in status.failure.message


def test_what_was_in_flight_at_a_death_runs_again_and_is_recorded_once(hub: Hub):
    gate = Gate()
    app = calling(gate.hold)
    instance_id = hub.open(app).client.start("calls")
    assert gate.began.wait(PATIENCE)
    hub.kill()
    gate.go_on.set()
    host = hub.open(app)
    assert host.client.wait(instance_id, PATIENCE).output == 2
    completed = [e for e in host.client.get_history(instance_id) if isinstance(e, ev.TaskCompleted)]
    assert len(completed) == 1


def test_a_second_host_is_refused_and_the_first_goes_on(hub: Hub):
    app = waiting()
    host = hub.open(app)
    instance_id = host.client.start("waits")
    for _ in range(2):
        with pytest.raises(ost.HubLockedError):
            hub.open(app)
    host.client.raise_event(instance_id, "go", 1)
    assert host.client.wait(instance_id, PATIENCE).output == 1


# Activities that are asked to stop


def test_a_terminated_instance_asks_its_activities_to_stop(hub: Hub):
    gate = Gate()
    host = hub.open(calling(gate.wait_cancelled))
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    host.client.terminate(instance_id, "enough")
    assert host.client.wait(instance_id, PATIENCE).output == "enough"
    host.close()
    assert gate.cancelled == [True]


def test_an_activity_that_takes_too_long_is_asked_to_stop_and_fails(hub: Hub):
    gate = Gate()
    host = hub.open(calling(gate.wait_cancelled, timeout=0.05))
    status = host.client.wait(host.client.start("calls"), PATIENCE)
    assert status.failure is not None
    assert status.failure.type == "TimeoutError"


def test_what_runs_when_a_host_closes_runs_again_and_its_failure_is_not_recorded(hub: Hub):
    gate = Gate()
    app = calling(gate.wait_cancelled)
    host = hub.open(app)
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    host.close()
    assert gate.cancelled == [True]
    host = hub.open(app)
    assert host.client.wait(instance_id, PATIENCE).output == 2
    assert not any(isinstance(e, ev.TaskFailed) for e in host.client.get_history(instance_id))


def test_what_an_activity_returns_when_it_gives_way_to_closing_is_not_its_result(hub: Hub):
    gate = Gate()

    def finish(context: ost.ActivityContext) -> int:
        gate.runs += 1
        gate.began.set()
        if gate.runs == 1:
            context.wait_cancelled(PATIENCE)
        return gate.runs

    app = calling(finish)
    host = hub.open(app)
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    host.close()
    assert hub.open(app).client.wait(instance_id, PATIENCE).output == 2


def test_what_completes_while_a_host_closes_is_recorded(hub: Hub):
    gate = Gate()
    finish = threading.Event()

    def finish_anyway() -> int:
        gate.runs += 1
        gate.began.set()
        assert finish.wait(PATIENCE)
        return gate.runs

    app = calling(finish_anyway)
    host = hub.open(app)
    instance_id = host.client.start("calls")
    assert gate.began.wait(PATIENCE)
    closing = threading.Thread(target=host.close)
    closing.start()
    with suppress(StoreError):
        while True:  # until the host takes nothing more
            host.client.get_status(host.client.start("calls", instance_id="x", if_exists="attach"))
    finish.set()
    closing.join(PATIENCE)
    assert hub.open(app).client.wait(instance_id, PATIENCE).output == 1


def test_a_closed_host_takes_no_commands(hub: Hub):
    host = hub.open(waiting())
    host.close()
    host.close()
    with pytest.raises(StoreError, match="closed"):
        host.client.start("waits")


# Time


def test_an_instance_is_forgotten_when_its_time_is_up(hub: Hub):
    app = ost.App("forgetful")

    @app.orchestration(purge_after=60)
    def brief(ctx: ost.OrchestrationContext):
        return 1
        yield

    host = hub.open(app)
    instance_id = host.client.start("brief")
    assert host.client.wait(instance_id, PATIENCE).output == 1
    hub.clock.advance(59)
    host.settle()
    assert host.client.get_status(instance_id).output == 1
    host.close()
    host = hub.open(app)
    hub.clock.advance(1)
    host.settle()
    with pytest.raises(ost.InstanceNotFoundError):
        host.client.get_status(instance_id)


def test_an_instance_starts_when_it_is_time_over_a_restart_too(hub: Hub):
    app = waiting()
    host = hub.open(app)
    at = hub.clock.now() + HOUR
    instance_id = host.client.start("waits", instance_id="later", start_at=at)
    host.client.raise_event(instance_id, "go", "early")
    host.settle()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.PENDING
    host.close()
    host = hub.open(app)
    host.settle()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.PENDING
    hub.clock.advance(HOUR)
    assert host.client.wait(instance_id, PATIENCE).output == "early"


def test_an_instance_that_has_not_started_can_be_terminated(hub: Hub):
    host = hub.open(waiting())
    instance_id = host.client.start("waits", start_at=HOUR)
    host.client.terminate(instance_id, "not needed")
    assert host.client.wait(instance_id, PATIENCE).output == "not needed"
    hub.clock.advance(HOUR)
    host.settle()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.TERMINATED


class SetBackClock(ManualClock):
    """A clock that breaks its promise, as machines do."""

    def set_back(self, by: timedelta) -> None:
        self._now -= by
        self.advance(0)


@pytest.mark.parametrize("cache_size", [0, 100])
def test_a_clock_that_is_set_back_delays_timers_and_breaks_nothing(hub: Hub, cache_size):
    clock = hub.clock = SetBackClock()
    host = hub.open(waiting(), cache_size=cache_size)
    sleeper = host.client.start("sleeps")
    waiter = host.client.start("waits")
    clock.advance(HOUR / 2)
    host.settle()
    clock.set_back(24 * HOUR)
    host.client.raise_event(waiter, "go", 1)
    later = host.client.start("sleeps")
    host.settle()
    assert host.client.wait(waiter, PATIENCE).output == 1
    assert host.client.get_status(sleeper).runtime_status is RuntimeStatus.RUNNING
    clock.advance(HOUR)
    assert host.client.wait(later, PATIENCE).output == 3600.0
    clock.advance(23.5 * HOUR)
    assert host.client.wait(sleeper, PATIENCE).output == 3600.0


def test_an_orchestrators_time_never_goes_back(hub: Hub):
    app = ost.App("times")

    @app.orchestration
    def times(ctx: ost.OrchestrationContext):
        first = ctx.current_utc_datetime
        yield ctx.wait_for_external_event("go")
        return (ctx.current_utc_datetime - first).total_seconds()

    clock = hub.clock = SetBackClock()
    instance_id = hub.open(app).client.start("times")
    hub.kill()
    clock.set_back(24 * HOUR)
    host = hub.open(app)
    host.client.raise_event(instance_id, "go")
    assert host.client.wait(instance_id, PATIENCE).output == 0.0


# Instances and the cache


def test_a_suspended_instance_holds_what_comes_over_a_restart_too(hub: Hub):
    app = waiting()
    host = hub.open(app)
    instance_id = host.client.start("waits")
    host.client.suspend(instance_id, "wait")
    host.client.raise_event(instance_id, "go", 1)
    host.settle()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.SUSPENDED
    host.close()
    host = hub.open(app)
    assert host.recovered == 1
    host.settle()
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.SUSPENDED
    host.client.resume(instance_id)
    assert host.client.wait(instance_id, PATIENCE).output == 1


@pytest.mark.parametrize("cache_size", [0, 1, 10_000])
def test_a_thousand_instances_end_whatever_the_cache_holds(hub: Hub, cache_size):
    app = waiting()

    @app.activity
    def double(number: int) -> int:
        return number * 2

    @app.orchestration
    def both(ctx: ost.OrchestrationContext, number: int):
        doubled = yield ctx.call_activity(double, number)
        added = yield ctx.wait_for_external_event("add")
        return doubled + added

    host = hub.open(app, cache_size=cache_size)
    ids = host.client.start_many(
        [Start(name="both", input=n, instance_id=f"i{n}") for n in range(1000)]
    )
    host.settle()
    for instance_id in ids:
        host.client.raise_event(instance_id, "add", 1)
    host.settle()
    assert [host.client.get_status(one).output for one in ids] == [2 * n + 1 for n in range(1000)]


@pytest.mark.parametrize("cache_size", [0, 1])
def test_a_generator_that_yields_in_finally_is_evicted_without_harm(hub: Hub, cache_size):
    app = ost.App("stubborn")
    notes: list[str] = []

    @app.activity
    def note(text: str) -> None:
        notes.append(text)

    @app.orchestration
    def stubborn(ctx: ost.OrchestrationContext):
        try:
            while True:
                try:
                    return (yield ctx.wait_for_external_event("go"))
                finally:
                    yield ctx.call_activity(note, "bye")
        finally:
            yield ctx.call_activity(note, "really")

    host = hub.open(app, cache_size=cache_size)
    ids = [host.client.start("stubborn") for _ in range(3)]
    host.settle()
    assert notes == []
    for instance_id in ids:
        host.client.raise_event(instance_id, "go", 7)
        assert host.client.wait(instance_id, PATIENCE).output == 7
    assert notes == ["bye", "really"] * 3


def test_a_defect_in_one_instance_stops_no_other(hub: Hub, caplog):
    """What the store holds of it cannot be: its timer is of an instance without a start."""
    from ostinato.testing.store_contract import head, new

    store = hub.store()
    store.commit(
        [new(instance=head("odd", length=1), events=[ev.OrchestratorStarted(at=hub.clock.now())])]
    )
    store.close()
    host = hub.open(waiting())
    instance_id = host.client.start("waits")
    host.client.raise_event("odd", "go")
    host.client.raise_event(instance_id, "go", 1)
    assert host.client.wait(instance_id, PATIENCE).output == 1
    host.close()
    store = hub.store()
    store.purge(["odd"])
    store.close()


# Code that changes under running instances


def versioned(number: int) -> ost.App:
    """The same orchestration, as it was and as it was changed."""
    app = ost.App("changing")
    for name in ("fetch", "store", "clean"):
        app.activity(name=name)(lambda: None)

    def first(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("fetch")
        yield ctx.call_activity("store")
        yield ctx.wait_for_external_event("go")

    def renamed(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("fetch")
        yield ctx.call_activity("clean")  # renamed
        yield ctx.wait_for_external_event("go")

    def removed(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("fetch")
        yield ctx.wait_for_external_event("go")  # removed

    def reordered(ctx: ost.OrchestrationContext):
        yield ctx.call_activity("store")  # reordered
        yield ctx.call_activity("fetch")
        yield ctx.wait_for_external_event("go")

    app.orchestration(name="flow")((first, renamed, removed, reordered)[number])
    return app


def line_of(mark: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"  # {mark}"))
    return f"{Path(__file__).name}:{number}"


@pytest.mark.parametrize("cache_size", [0, 100])
@pytest.mark.parametrize(("number", "mark"), [(1, "renamed"), (2, "removed"), (3, "reordered")])
def test_changed_code_is_logged_at_recovery_and_fails_the_instance_when_it_wakes(
    hub: Hub, number, mark, cache_size, caplog
):
    host = hub.open(versioned(0))
    instance_id = host.client.start("flow")
    host.settle()
    host.close()
    with caplog.at_level(logging.ERROR, "ostinato.local"):
        host = hub.open(versioned(number), cache_size=cache_size)
        host.settle()
    (record,) = caplog.records
    assert line_of(mark) in record.message
    assert instance_id in record.message
    assert host.client.get_status(instance_id).runtime_status is RuntimeStatus.RUNNING
    host.client.raise_event(instance_id, "go")
    failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "NonDeterminismError"
    assert line_of(mark) in failure.message


def test_changed_code_that_is_taken_back_harms_nobody(hub: Hub):
    instance_id = hub.open(versioned(0)).client.start("flow")
    for number in (1, 0):
        hub._hosts[-1][0].settle()
        hub._hosts[-1][0].close()
        host = hub.open(versioned(number))
    host.client.raise_event(instance_id, "go")
    assert host.client.wait(instance_id, PATIENCE).runtime_status is RuntimeStatus.COMPLETED


def test_what_woke_an_instance_whose_code_does_not_fit_counts_after_a_rewind(hub: Hub):
    host = hub.open(waiting())
    instance_id = host.client.start("waits")
    host.settle()
    host.close()
    host = hub.open(versioned(0))
    host.client.raise_event(instance_id, "go", 1, event_id="1")
    failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "UnknownNameError"
    host.close()
    host = hub.open(waiting())
    host.client.rewind(instance_id)
    assert host.client.wait(instance_id, PATIENCE).output == 1


def test_a_removed_activity_fails_the_instance_that_awaits_it_and_can_be_put_back(hub: Hub):
    gate = Gate()
    app = calling(gate.hold)
    instance_id = hub.open(app).client.start("calls")
    assert gate.began.wait(PATIENCE)
    hub.kill()
    gate.go_on.set()
    lacking = ost.App("lacking")

    @lacking.orchestration
    def calls(ctx: ost.OrchestrationContext):
        try:
            yield ctx.call_activity("work")
        except Exception:
            return "swallowed"

    host = hub.open(lacking)
    failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "UnknownNameError"
    host.close()
    host = hub.open(app)
    host.client.rewind(instance_id)
    assert host.client.wait(instance_id, PATIENCE).output == 2


def test_a_version_that_is_not_registered_any_more_fails_rewindably(hub: Hub):
    def app_of(version: str) -> ost.App:
        app = ost.App("versions")

        @app.orchestration(version=version)
        def waits(ctx: ost.OrchestrationContext):
            return (yield ctx.wait_for_external_event("go"))

        return app

    host = hub.open(app_of("1"))
    instance_id = host.client.start("waits")
    host.settle()
    host.close()
    host = hub.open(app_of("2"))
    host.client.raise_event(instance_id, "go", 1)
    failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "UnknownNameError"
    assert "'1'" in failure.message
    host.close()
    host = hub.open(app_of("1"))
    host.client.rewind(instance_id)
    assert host.client.wait(instance_id, PATIENCE).output == 1


# Messages of other processes


def test_messages_of_another_process_are_found(file_hub: Hub):
    host = file_hub.open(waiting(), poll_interval=0.01)
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as remote:
        instance_id = remote.client.start("waits", "go")
        remote.client.raise_event(instance_id, "go", 1)
    assert host.client.wait(instance_id, PATIENCE).output == 1


def test_messages_sent_while_no_host_runs_are_found_at_the_start(file_hub: Hub):
    app = waiting()
    host = file_hub.open(app)
    first = host.client.start("waits")
    host.close()
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as remote:
        remote.client.raise_event(first, "go", 1)
        second = remote.client.start("waits", "go")
        remote.client.raise_event(second, "go", 2)
    host = file_hub.open(app)
    assert host.client.wait(first, PATIENCE).output == 1
    assert host.client.wait(second, PATIENCE).output == 2


def test_a_message_to_an_instance_that_is_gone_is_dropped(file_hub: Hub):
    host = file_hub.open(waiting())
    instance_id = host.client.start("waits")
    host.close()
    assert file_hub.path is not None
    with ost.local.connect(file_hub.path) as remote:
        remote.client.raise_event(instance_id, "go", 1)
        remote.client.raise_event(instance_id, "go", 2)
    store = SqliteStore(file_hub.path)
    store.purge([instance_id])
    store.send(
        [Message(instance_id=instance_id, event=ev.EventRaised(at=file_hub.clock.now(), name="go"))]
    )
    store.close()
    host = file_hub.open(waiting())
    host.settle()
    host.close()
    store = SqliteStore(file_hub.path)
    assert store.inbox(0, 10) == []
    assert store.instances(Query())[0] == []
    store.close()


# What comes together in one cycle


def in_order(host: ost.local.LocalHost, *acts: Callable[[], object]) -> None:
    """Have each act put something into the engine's queue, for one cycle to take."""
    threads: list[threading.Thread] = []
    with holding(host):
        for number, act in enumerate(acts, 1):
            thread = threading.Thread(target=act)
            thread.start()
            threads.append(thread)
            await_queued(host, number)
    for thread in threads:
        thread.join(PATIENCE)


@pytest.mark.parametrize("order", ["outcome, rewind", "rewind, outcome"])
def test_an_outcome_and_a_rewind_in_one_cycle_lose_no_work(hub: Hub, order: str):
    gate = Gate()
    mended: list[bool] = []
    app = ost.App("both")
    app.activity(name="slow")(gate.hold)

    @app.activity
    def breaks() -> None:
        if not mended:
            raise ValueError

    @app.orchestration
    def both(ctx: ost.OrchestrationContext):
        slow = ctx.call_activity("slow")
        yield ctx.call_activity(breaks)
        return (yield slow)

    host = hub.open(app)
    host.client.start("both", instance_id="a")
    assert host.client.wait("a", PATIENCE).runtime_status is RuntimeStatus.FAILED
    assert gate.began.wait(PATIENCE)
    mended.append(True)
    acts = {"outcome": gate.go_on.set, "rewind": lambda: host.client.rewind("a")}
    in_order(host, *(acts[name] for name in order.split(", ")))
    hub.kill()
    assert hub.open(app).client.wait("a", PATIENCE).runtime_status is RuntimeStatus.COMPLETED


@pytest.mark.parametrize("order", ["outcome, start", "start, outcome"])
def test_an_instance_that_is_replaced_leaves_no_work_behind(hub: Hub, order: str):
    gate = Gate()
    app = ost.App("leaving")
    app.activity(name="slow")(gate.hold)

    @app.orchestration
    def leaves(ctx: ost.OrchestrationContext, number: int):
        if number == 1:
            ctx.call_activity("slow")
        return number
        yield

    host = hub.open(app)
    host.client.start("leaves", 1, instance_id="a")
    assert host.client.wait("a", PATIENCE).output == 1
    assert gate.began.wait(PATIENCE)
    acts: dict[str, Callable[[], object]] = {
        "outcome": gate.go_on.set,
        "start": lambda: host.client.start(
            "leaves", 2, instance_id="a", if_exists="replace_finished"
        ),
    }
    in_order(host, *(acts[name] for name in order.split(", ")))
    host.settle()
    assert host.client.get_status("a").output == 2
    assert list(host._store.work()) == []


def test_what_cannot_be_done_after_a_commit_does_not_undo_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    app = ost.App("owing")
    ran: list[int] = []

    @app.activity
    def note(number: int) -> None:
        ran.append(number)

    @app.orchestration
    def counts(ctx: ost.OrchestrationContext):
        notes = []
        for number in (1, 2):
            yield ctx.wait_for_external_event("go")
            ctx.set_custom_status(number)
            notes.append(ctx.call_activity(note, number))
        yield ctx.task_all(notes)

    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("ostinato-activity"):
            raise RuntimeError("can't start new thread")
        begin(thread)

    host = hub.open(app)
    instance_id = host.client.start("counts")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        host.client.raise_event(instance_id, "go")
        assert host.client.start("counts") != instance_id  # another cycle
        assert host.client.get_status(instance_id).custom_status == 1
    host.client.raise_event(instance_id, "go")
    assert host.client.wait(instance_id, PATIENCE).custom_status == 2
    assert sorted(ran) == [1, 2]


class OutcomesRefused(CrashingStore):
    """A store that has no room for what activities return."""

    def commit(self, changes: Sequence[Change]) -> None:
        events = (event for change in changes for event in change.events)
        if any(isinstance(event, ev.TaskCompleted) for event in events):
            raise StoreError("the disk is full")
        super().commit(changes)


def test_activities_pause_while_what_they_return_cannot_be_written(hub: Hub):
    app = ost.App("many")
    ran: list[int] = []

    @app.activity
    def note(number: int) -> None:
        ran.append(number)

    @app.orchestration
    def maps(ctx: ost.OrchestrationContext):
        yield ctx.map(note, range(2 * MAX_UNREAD))

    store = OutcomesRefused(hub.store())
    with ost.local.LocalHost(app, store=store, max_concurrent_activities=1) as host:
        host.client.start("maps", instance_id="a")
        deadline = time.monotonic() + PATIENCE
        while len(host._engine._stalled) < MAX_UNREAD or host._engine._workers.running:
            assert time.monotonic() < deadline, "they do not pause"
            os.sched_yield()
        assert host._engine._workers._schedule.head() is None  # nothing is to start
        assert len(ran) == MAX_UNREAD
        assert isinstance(host.trouble, StoreError)
    assert hub.open(app).client.wait("a", PATIENCE).runtime_status is RuntimeStatus.COMPLETED


# Orchestrators and applications that err


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", ["orchestrator", "predicate"])
def test_an_orchestrator_cannot_end_its_host(hub: Hub, place: str, error: type[BaseException]):
    app = waiting()

    def leave(*_: object) -> bool:
        raise error

    @app.activity
    def breaks() -> None:
        raise ValueError

    @app.orchestration
    def leaves(ctx: ost.OrchestrationContext):
        if place == "orchestrator":
            leave()
        yield ctx.call_activity(breaks, retry=ost.RetryPolicy(3, 0, retry_on=leave))

    host = hub.open(app)
    failure = host.client.wait(host.client.start("leaves"), PATIENCE).failure
    assert failure is not None
    assert failure.type == error.__name__
    instance_id = host.client.start("waits")
    host.client.raise_event(instance_id, "go", 1)
    assert host.client.wait(instance_id, PATIENCE).output == 1


def renewing(*versions: str | None) -> ost.App:
    """An application whose orchestration shows its version and renews itself."""
    app = ost.App("renewing")
    for version in versions:

        def renews(ctx: ost.OrchestrationContext, generation: int, shown: str = str(version)):
            ctx.set_custom_status([shown, generation])
            yield ctx.wait_for_external_event("go")
            ctx.continue_as_new(generation + 1)

        app.orchestration(name="renews", version=version)(renews)
    return app


def test_an_instance_without_a_version_stays_without_one(hub: Hub):
    host = hub.open(renewing(None))
    instance_id = host.client.start("renews", 1)
    host.client.raise_event(instance_id, "go")
    host.settle()
    host.close()
    host = hub.open(renewing(None, "2"))
    for generation in (3, 4):
        host.client.raise_event(instance_id, "go")
        host.settle()
        status = host.client.get_status(instance_id)
        assert (status.custom_status, status.version) == (["None", generation], None)


@pytest.mark.parametrize("cache_size", [0, 100])
def test_the_children_of_an_instance_whose_code_does_not_fit_end_with_it(hub: Hub, cache_size: int):
    def app_of(changed: bool) -> ost.App:
        app = waiting()

        @app.orchestration
        def cares(ctx: ost.OrchestrationContext):
            if changed:
                yield ctx.create_timer(HOUR)
            ended = ctx.call_sub_orchestrator("waits", instance_id="ended")
            ctx.call_sub_orchestrator("waits", instance_id="open")
            yield ended
            yield ctx.wait_for_external_event("go")

        return app

    host = hub.open(app_of(False))
    instance_id = host.client.start("cares")
    host.client.raise_event("ended", "go", 1)
    host.settle()
    host.close()
    host = hub.open(app_of(True), cache_size=cache_size)
    host.client.raise_event(instance_id, "go")
    failure = host.client.wait(instance_id, PATIENCE).failure
    assert failure is not None
    assert failure.type == "NonDeterminismError"
    host.settle()
    assert host.client.get_status("open").runtime_status is RuntimeStatus.TERMINATED
    assert host.client.get_status("ended").output == 1


def test_what_another_application_does_fails_here_as_what_it_is(hub: Hub):
    app = ost.App("here")
    app.foreign_activity("fetch")
    app.foreign_orchestration("ship")

    @app.orchestration
    def calls(ctx: ost.OrchestrationContext):
        failures = []
        for call in (ctx.call_activity, ctx.call_sub_orchestrator):
            try:
                yield call("fetch" if call == ctx.call_activity else "ship")
            except ost.TaskFailedError as error:
                failures.append([error.failure.type, error.failure.task])
        return failures

    host = hub.open(app)
    output = host.client.wait(host.client.start("calls"), PATIENCE).output
    assert output == [["ActivityError", "fetch"], ["SubOrchestrationError", "ship"]]


class Denied(Exception):
    def __init__(self, code: int, who: str) -> None:
        super().__init__(f"{who} is denied")
        self.code = code
        self.who = who


def test_a_declared_exception_comes_with_its_attributes_and_its_message(hub: Hub):
    app = ost.App("denying")

    @app.activity(raises=[Denied])
    def deny() -> None:
        raise Denied(403, "ada")

    @app.orchestration
    def asks(ctx: ost.OrchestrationContext):
        try:
            yield ctx.call_activity(deny)
        except Denied as error:
            return [error.code, error.who, str(error)]

    host = hub.open(app)
    output = host.client.wait(host.client.start("asks"), PATIENCE).output
    assert output == [403, "ada", "ada is denied"]


def test_a_rewind_does_not_start_again_what_still_runs(hub: Hub):
    runs: list[str] = []
    release = threading.Event()
    app = ost.App("rewinds")

    @app.activity
    def slow() -> str:
        runs.append("slow")
        assert release.wait(PATIENCE)
        return "slow"

    @app.activity
    def bad() -> str:
        runs.append("bad")
        if runs.count("bad") == 1:
            raise ValueError("the first time")
        return "good"

    @app.orchestration
    def both(ctx: ost.OrchestrationContext):
        running = ctx.call_activity(slow)
        first = yield ctx.call_activity(bad)
        return [first, (yield running)]

    with hub.open(app) as host:
        instance_id = host.client.start("both")
        assert host.client.wait(instance_id, PATIENCE).runtime_status is RuntimeStatus.FAILED
        host.client.rewind(instance_id)
        release.set()
        assert host.client.wait(instance_id, PATIENCE).output == ["good", "slow"]
    assert sorted(runs) == ["bad", "bad", "slow"]


def test_a_custom_status_survives_a_generation_that_is_suspended_before_it_starts(hub: Hub):
    app = ost.App("generations")

    @app.orchestration
    def rounds(ctx: ost.OrchestrationContext, number: int):
        ctx.set_custom_status({"round": number})
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new(number + 1)

    with hub.open(app) as host:
        instance_id = host.client.start("rounds", 1)
        host.client.suspend(instance_id)
        host.client.raise_event(instance_id, "go")
        host.client.resume(instance_id)
        host.client.suspend(instance_id)
        assert host.client.get_status(instance_id).custom_status == {"round": 2}
        host.client.terminate(instance_id)
        status = host.client.wait(instance_id, PATIENCE)
    assert status.custom_status == {"round": 2}
