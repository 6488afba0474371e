import asyncio
import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.activities import ActivityCompleted, ActivityContext, ActivityFailed
from ostinato.definitions import ActivityDefinition
from ostinato.local.board import RunningBoard
from ostinato.local.memory import MemoryBoard
from ostinato.local.workers import MAX_UNREAD
from tests.local.engine_stand import PATIENCE, Gauge, Stand, activity, assert_gave_way


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def double(given: int) -> int:
    return given * 2


async def double_async(given: int) -> int:
    await asyncio.sleep(0)
    return given * 2


def test_an_activity_runs_and_its_outcome_is_reported():
    with Stand(activity(double)) as stand:
        work = stand.submit("double", "4")
        assert stand.take() == (work, ActivityCompleted("8"))


def test_an_async_activity_runs_on_the_event_loop():
    with Stand(activity(double_async)) as stand:
        assert stand.run("double_async", "4") == ActivityCompleted("8")


def test_activities_run_side_by_side_up_to_the_limit():
    gauge = Gauge(3)
    with Stand(activity(gauge.hold), max_concurrent=3) as stand:
        stand.workers.submit([stand.work("hold") for _ in range(10)])
        assert gauge.is_full.wait(PATIENCE)
        gauge.release.set()
        for _ in range(10):
            stand.take()
    assert gauge.most == 3


def test_sync_and_async_activities_share_the_limit():
    gauge = Gauge(3)

    async def hold_async() -> None:
        gauge.enter()
        await asyncio.to_thread(gauge.release.wait, PATIENCE)
        gauge.leave()

    definitions = activity(gauge.hold), activity(hold_async)
    with Stand(*definitions, max_concurrent=3) as stand:
        names = ["hold", "hold_async"] * 5
        stand.workers.submit([stand.work(name) for name in names])
        assert gauge.is_full.wait(PATIENCE)
        gauge.release.set()
        for _ in range(10):
            stand.take()
    assert gauge.most == 3


def test_an_activity_with_a_limit_blocks_no_other():
    gauge = Gauge(1)
    with Stand(activity(gauge.hold, max_concurrency=1), activity(double)) as stand:
        stand.workers.submit([stand.work("hold") for _ in range(5)])
        assert stand.run("double", "4") == ActivityCompleted("8")
        gauge.release.set()
        for _ in range(5):
            stand.take()
    assert gauge.most == 1


def test_a_group_runs_within_its_bound_and_in_order():
    gauge = Gauge(2)
    with Stand(activity(gauge.hold)) as stand:
        works = [stand.work("hold", str(n), group=1, bound=2) for n in range(20)]
        stand.workers.submit(works)
        assert gauge.is_full.wait(PATIENCE)
        assert gauge.entered == [0, 1]
        gauge.release.set()
        for _ in works:
            stand.take()
    assert gauge.most == 2
    assert sorted(gauge.entered) == list(range(20))


def test_a_group_bound_to_one_runs_one_after_another():
    order: list[int] = []
    with Stand(activity(order.append, "note")) as stand:
        stand.workers.submit([stand.work("note", str(n), group=1, bound=1) for n in range(100)])
        for _ in range(100):
            stand.take()
    assert order == list(range(100))


@pytest.mark.parametrize("name", ["double", "double_async"])
def test_a_hundred_thousand_items_are_fine(name: str):
    with Stand(activity(double), activity(double_async)) as stand:
        works = [stand.work(name, "1") for _ in range(100_000 if name == "double" else 10_000)]
        stand.workers.submit(works)
        assert {stand.take()[1] for _ in works} == {ActivityCompleted("2")}


def test_small_activities_need_few_threads():
    with Stand(activity(double)) as stand:
        for _ in range(100):
            stand.run("double", "1")
        threads = [t for t in threading.enumerate() if t.name.startswith("ostinato-activity")]
    assert len(threads) <= 2


def test_cancelled_work_never_starts_and_reports_nothing():
    gauge = Gauge(1)
    with Stand(activity(gauge.hold), max_concurrent=1) as stand:
        first, second, third = works = [stand.work("hold", str(n)) for n in range(3)]
        stand.workers.submit(works)
        assert gauge.is_full.wait(PATIENCE)
        second.cancel()
        gauge.release.set()
        assert [stand.take()[0], stand.take()[0]] == [first, third]
    assert gauge.entered == [0, 2]
    assert stand.outcomes.empty()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_running_work_is_asked_to_stop(kind: str):
    started = threading.Event()

    def wait(context: ActivityContext) -> bool:
        started.set()
        return context.wait_cancelled(PATIENCE)

    async def wait_async(context: ActivityContext) -> bool:
        started.set()
        return await asyncio.to_thread(context.wait_cancelled, PATIENCE)

    with Stand(activity(wait if kind == "sync" else wait_async, "wait")) as stand:
        work = stand.submit("wait")
        assert started.wait(PATIENCE)
        work.cancel()
        assert_gave_way(stand.take(), work)


def test_what_runs_can_be_seen():
    gauge = Gauge(1)
    with Stand(activity(gauge.hold)) as stand:
        work = stand.submit("hold")
        assert gauge.is_full.wait(PATIENCE)
        assert stand.workers.running == [work]
        gauge.release.set()
        stand.take()


def test_heartbeats_can_be_seen():
    def beat(context: ActivityContext) -> None:
        context.heartbeat({"rows": 10})

    with Stand(activity(beat)) as stand:
        work = stand.submit("beat")
        stand.take()
    assert work.heartbeat_details == '{"rows":10}'
    assert work.last_heartbeat is not None


def test_an_activity_that_is_not_registered_fails():
    with Stand() as stand:
        outcome = stand.run("nobody")
    assert isinstance(outcome, ActivityFailed)
    assert outcome.failure.type == "UnknownNameError"
    assert "'nobody'" in outcome.failure.message


def test_a_foreign_activity_fails():
    with Stand(ActivityDefinition(name="theirs", fn=None)) as stand:
        outcome = stand.run("theirs")
    assert isinstance(outcome, ActivityFailed)
    assert outcome.failure.type == "ActivityError"
    assert "another application" in outcome.failure.message


def test_a_function_nothing_could_call_fails_and_hurts_nobody():
    def three(a: int, b: int, c: int) -> None: ...

    with Stand(activity(three), activity(double)) as stand:
        outcome = stand.run("three")
        assert isinstance(outcome, ActivityFailed)
        assert outcome.failure.type == "RegistrationError"
        assert stand.run("double", "1") == ActivityCompleted("2")


@pytest.mark.parametrize("name", ["leave", "leave_async"])
def test_sys_exit_in_an_activity_hurts_nobody(name: str):
    def leave() -> None:
        raise SystemExit(3)

    async def leave_async() -> None:
        raise SystemExit(3)

    with Stand(activity(leave), activity(leave_async), max_concurrent=1) as stand:
        for _ in range(3):
            outcome = stand.run(name)
            assert isinstance(outcome, ActivityFailed)
            assert outcome.failure.type == "SystemExit"


def test_the_payload_limit_holds_for_results():
    def long() -> str:
        return "x" * 1000

    with Stand(activity(long)) as stand:
        outcome = stand.run("long")
    assert isinstance(outcome, ActivityFailed)
    assert outcome.failure.type == "PayloadTooLargeError"


@pytest.mark.parametrize("name", ["read_and_set", "read_and_set_async"])
def test_each_activity_has_the_context_variables_of_the_host_to_itself(name: str):
    request = contextvars.ContextVar("request", default="none")

    def read_and_set() -> str:
        before = request.get()
        request.set("changed")
        return before

    async def read_and_set_async() -> str:
        return read_and_set()

    definitions = activity(read_and_set), activity(read_and_set_async)
    token = request.set("host")
    stand = Stand(*definitions, max_concurrent=1)
    request.reset(token)
    with stand:
        assert [stand.run(name), stand.run(name)] == [ActivityCompleted('"host"')] * 2


def test_workers_pause_when_nobody_takes_the_outcomes():
    ran: list[int] = []
    full = threading.Event()

    def note(n: int) -> None:
        ran.append(n)
        if len(ran) >= MAX_UNREAD:
            full.set()

    with Stand(activity(note)) as stand:
        stand.workers.submit([stand.work("note", str(n)) for n in range(5000)])
        assert full.wait(PATIENCE)
        assert len(ran) < MAX_UNREAD + 100
        for _ in range(5000):
            stand.take()
    assert len(ran) == 5000


@pytest.mark.parametrize("name", ["look", "look_async"])
def test_the_board_knows_what_runs(name: str, tmp_path: Path):
    path = str(tmp_path / "running")
    board = RunningBoard(path)
    seen: list[int] = []

    def look() -> None:
        other = RunningBoard(path)
        seen.extend(key.task_id for key in other.crashed())
        other.close()

    async def look_async() -> None:
        look()

    with Stand(activity(look), activity(look_async), board=board) as stand:
        work = stand.submit(name)
        stand.take()
    assert seen == [work.call.task_id]
    assert board.crashed() == []
    board.close()


def test_the_board_is_told_of_the_end_of_failures_too():
    board = MemoryBoard()

    def broken() -> None:
        raise ValueError

    with Stand(activity(broken), board=board) as stand:
        stand.run("broken")
    assert not board.running


def test_closing_asks_what_runs_to_stop_and_waits_for_it():
    started = threading.Event()
    ended = threading.Event()

    def wait(context: ActivityContext) -> None:
        started.set()
        context.wait_cancelled(PATIENCE)
        ended.set()

    stand = Stand(activity(wait), max_concurrent=1)
    work = stand.submit("wait")
    waiting = stand.submit("wait")
    assert started.wait(PATIENCE)
    stand.workers.close(PATIENCE)
    assert ended.is_set()
    assert_gave_way(stand.take(), work)
    assert stand.outcomes.empty()
    assert not waiting.cancelled


def test_closing_leaves_a_stubborn_thread_behind_unheard():
    gauge = Gauge(1)
    stand = Stand(activity(gauge.hold))
    work = stand.submit("hold")
    assert gauge.is_full.wait(PATIENCE)
    stand.workers.close(0)
    gauge.release.set()
    assert work.thread is not None
    work.thread.join(PATIENCE)
    assert not work.thread.is_alive()
    assert stand.outcomes.empty()


def test_closing_cancels_coroutines_that_do_not_look():
    started = threading.Event()
    ended: list[BaseException] = []

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(error)
            raise

    stand = Stand(activity(wait))
    stand.submit("wait")
    assert started.wait(PATIENCE)
    stand.workers.close(0)
    assert [type(error) for error in ended] == [asyncio.CancelledError]
    assert stand.outcomes.empty()


def test_nothing_starts_after_closing():
    stand = Stand(activity(double), activity(double_async))
    stand.run("double", "1")
    stand.run("double_async", "1")
    stand.workers.close()
    stand.submit("double", "1")
    stand.workers.close()
    assert stand.workers.running == []
    assert stand.outcomes.empty()
