import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ostinato.activities import ActivityCompleted, ActivityCrashed, ActivityFailed
from ostinato.definitions import ActivityDefinition
from ostinato.failures import Failure
from ostinato.local.memory import MemoryBoard
from tests.local import process_activities as pa
from tests.local.engine_stand import PATIENCE, Stand, activity, assert_gave_way

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks at processes the POSIX way")


def in_process(
    fn: Callable[..., Any], name: str | None = None, **options: Any
) -> ActivityDefinition:
    return activity(fn, name, isolation="process", **options)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before, others = set(threading.enumerate()), children()
    yield
    assert set(threading.enumerate()) <= before
    assert children() <= others


def children() -> set[int]:
    """Processes that this one started and has not waited for: other tests' emulators, too."""
    found = set[int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:  # it has ended
            continue
        if int(fields.split()[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def failure(outcome: object) -> Failure:
    assert isinstance(outcome, ActivityFailed)
    return outcome.failure


def pid(stand: Stand, name: str = "pid") -> int:
    outcome = stand.run(name)
    assert isinstance(outcome, ActivityCompleted)
    return int(outcome.result)


def wait_for_end(process: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([handle], [], [], PATIENCE)
    os.close(handle)
    assert ready


class Fifo:
    """A pipe by whose name an activity in another process tells something."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.name = f'"{path}"'
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> str:
        """Wait for what the activity tells."""
        ready, _, _ = select.select([self._file], [], [], PATIENCE)
        assert ready, "the activity did not begin"
        return os.read(self._file, 1000).decode()

    def close(self) -> None:
        os.close(self._file)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    pipe = Fifo(tmp_path / "fifo")
    yield pipe
    pipe.close()


def test_an_activity_runs_in_another_process_which_is_kept():
    with Stand(in_process(pa.pid)) as stand:
        first, second = pid(stand), pid(stand)
    assert first == second != os.getpid()


def test_an_async_activity_runs_in_another_process():
    with Stand(in_process(pa.pid_async)) as stand:
        assert pid(stand, "pid_async") != os.getpid()


def test_a_static_method_is_found():
    with Stand(in_process(pa.Office.stamp)) as stand:
        assert stand.run("stamp", '"a"') == ActivityCompleted('"[a]"')


def test_large_inputs_and_results_cross():
    text = f'"{"x" * 300_000}"'
    with Stand(in_process(pa.echo), payload_limit=1_000_000) as stand:
        assert stand.run("echo", text) == ActivityCompleted(text)


def test_an_activity_may_print(capfd: pytest.CaptureFixture[str]):
    with Stand(in_process(pa.shout)) as stand:
        assert stand.run("shout", '"hello"') == ActivityCompleted('"HELLO"')
    out, err = capfd.readouterr()
    assert out == ""
    assert {"hello", "and raw bytes", "from a grandchild"} <= set(err.splitlines())


def test_an_activity_has_no_stdin():
    with Stand(in_process(pa.read_stdin)) as stand:
        assert stand.run("read_stdin") == ActivityCompleted('""')


def test_the_context_crosses():
    with Stand(in_process(pa.report)) as stand:
        work = stand.submit("report")
        outcome = stand.take()[1]
    assert isinstance(outcome, ActivityCompleted)
    assert outcome.result.startswith(f'["i",{work.call.task_id},"')
    assert work.heartbeat_details == '{"rows":1}'


def test_an_exception_crosses_with_its_bases():
    with Stand(in_process(pa.refuse)) as stand:
        failed = failure(stand.run("refuse"))
    assert (failed.type, failed.message, failed.task) == ("Refused", "7: closed", "refuse")
    assert failed.bases[0] == f"{pa.__name__}.Refused"


def test_the_payload_limit_holds_in_the_child():
    with Stand(in_process(pa.long)) as stand:
        assert failure(stand.run("long")).type == "PayloadTooLargeError"


def test_sys_exit_is_a_failure_and_the_child_lives_on():
    with Stand(in_process(pa.leave), in_process(pa.pid)) as stand:
        child = pid(stand)
        assert failure(stand.run("leave", '"exit"')).type == "SystemExit"
        assert pid(stand) == child


@pytest.mark.parametrize(("how", "told"), [("_exit", "exit code 3"), ("kill", "signal 9")])
def test_a_child_that_dies_is_a_crash_and_is_replaced(how: str, told: str):
    with Stand(in_process(pa.leave), in_process(pa.pid)) as stand:
        child = pid(stand)
        outcome = stand.run("leave", f'"{how}"')
        assert outcome == ActivityCrashed(f"process of activity 'leave' died with {told}")
        assert pid(stand) != child


def test_a_child_that_cuts_the_line_is_a_crash():
    with Stand(in_process(pa.close_everything)) as stand:
        assert isinstance(stand.run("close_everything"), ActivityCrashed)


def test_a_child_that_died_while_idle_is_nobodys_crash():
    with Stand(in_process(pa.pid)) as stand:
        child = pid(stand)
        os.kill(child, 9)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert pid(stand) != child


def test_a_timeout_kills_the_child_and_what_it_started(fifo: Fifo):
    with Stand(in_process(pa.hang), in_process(pa.pid)) as stand:
        stand.submit("hang", fifo.name, timeout=1.0)
        processes = fifo.read().split()
        failed = failure(stand.take()[1])
        assert failed.type == "TimeoutError"
        assert "1 seconds" in failed.message
        for process in processes:
            wait_for_end(int(process))
        assert pid(stand) > 0


def test_an_attempt_within_its_timeout_completes():
    with Stand(in_process(pa.pid, timeout=60.0)) as stand:
        assert pid(stand) == pid(stand)


def test_running_work_is_asked_to_stop(fifo: Fifo):
    with Stand(in_process(pa.wait)) as stand:
        work = stand.submit("wait", fifo.name)
        fifo.read()
        work.cancel()
        assert_gave_way(stand.take(), work)


def test_work_cancelled_while_its_child_starts_is_asked_to_stop(fifo: Fifo):
    with Stand(in_process(pa.wait)) as stand:
        work = stand.submit("wait", fifo.name)
        while work not in stand.workers.running:
            pass
        work.cancel()
        assert_gave_way(stand.take(), work)


def test_work_that_ended_can_be_cancelled_without_harm_to_the_next(fifo: Fifo):
    with Stand(in_process(pa.report), in_process(pa.wait)) as stand:
        work = stand.submit("report")
        stand.take()
        work.cancel()
        after = stand.submit("wait", fifo.name)
        fifo.read()
        assert stand.outcomes.empty()
        after.cancel()
        stand.take()


def test_there_are_no_more_children_than_processors():
    with Stand(in_process(pa.pid)) as stand:
        stand.workers.submit([stand.work("pid") for _ in range(30)])
        assert len({stand.take()[1] for _ in range(30)}) <= (os.cpu_count() or 1)


def test_closing_kills_what_does_not_stop(fifo: Fifo):
    stand = Stand(in_process(pa.hang))
    stand.submit("hang", fifo.name)
    processes = fifo.read().split()
    stand.workers.close(0)
    for process in processes:
        wait_for_end(int(process))
    assert stand.outcomes.empty()


def test_closing_asks_what_runs_to_stop(fifo: Fifo):
    stand = Stand(in_process(pa.wait))
    work = stand.submit("wait", fifo.name)
    fifo.read()
    stand.workers.close(PATIENCE)
    assert_gave_way(stand.take(), work)


def test_the_board_is_not_told_since_a_child_cannot_kill_the_host(fifo: Fifo):
    board = MemoryBoard()
    with Stand(in_process(pa.wait), board=board) as stand:
        work = stand.submit("wait", fifo.name)
        fifo.read()
        assert not board.running
        work.cancel()
        stand.take()


def local_function() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize("fn", [lambda: None, local_function(), partial(pa.echo, "x")])
def test_a_function_that_another_process_cannot_find_is_told_the_mend(fn: Callable[..., Any]):
    with Stand(in_process(fn, "hidden")) as stand:
        failed = failure(stand.run("hidden"))
    assert failed.type == "RegistrationError"
    assert "activity 'hidden'" in failed.message
    assert "top level of a module" in failed.message


SCRIPT = """
import sys
from ostinato.definitions import ActivityDefinition
from tests.local.engine_stand import Stand

class Mine(Exception):
    pass

def greet(name: str) -> str:
    if name == "nobody":
        raise Mine("no name")
    return f"hello {{name}} from {{__name__}}"

if {guard}:
    print("runs as", __name__)
    with Stand(ActivityDefinition(name="greet", fn=greet, isolation="process")) as stand:
        for name in ('"ada"', '"nobody"'):
            print(stand.run("greet", name))
"""


ORPHANING = """
import os, signal, sys
from ostinato.definitions import ActivityDefinition
from tests.local import process_activities
from tests.local.engine_stand import Stand

hang = ActivityDefinition(name="hang", fn=process_activities.hang, isolation="process")
Stand(hang).submit("hang", sys.argv[1])
sys.stdin.read()
"""


def test_a_child_ends_when_its_parent_is_killed(fifo: Fifo):
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANING, fifo.name],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": python_path()},
    ) as parent:
        child, grandchild = map(int, fifo.read().split())
        parent.kill()
    wait_for_end(child)
    os.kill(grandchild, 9)


def python_path() -> str:
    return os.pathsep.join(entry for entry in sys.path if entry)


def run_script(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=True,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["script.py"], ["-m", "shop.script"]])
def test_functions_of_the_main_script_are_found_without_running_it(
    arguments: list[str], tmp_path: Path
):
    folder = tmp_path / "shop" if "-m" in arguments else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "helper.py").write_text("")
    relative = "from . import helper\n" if "-m" in arguments else ""
    script = relative + SCRIPT.format(guard='__name__ == "__main__"')
    (folder / "script.py").write_text(script)
    printed = run_script(*arguments, cwd=tmp_path)
    assert "hello ada from __ostinato_main__" in printed
    assert "'__main__.Mine'" in printed
    assert printed.count("runs as") == 1


def test_a_script_that_cannot_be_loaded_again_is_told_the_mend(tmp_path: Path):
    script = SCRIPT.format(guard="True") + "\nif __name__ != '__main__':\n    sys.exit(1)\n"
    (tmp_path / "script.py").write_text(script.replace("if True:", "if __name__ == '__main__':"))
    printed = run_script("script.py", cwd=tmp_path)
    assert "cannot load" in printed
    assert "SystemExit: 1" in printed
    assert "belongs under `if __name__" in printed


def test_a_function_that_only_the_guarded_script_has_is_told_the_mend(tmp_path: Path):
    script = SCRIPT.format(guard='__name__ == "__main__"')
    guarded = script.replace("def greet", 'if __name__ == "__main__":\n  def greet')
    (tmp_path / "script.py").write_text(guarded)
    assert "finds no 'greet'" in run_script("script.py", cwd=tmp_path)


def test_a_function_typed_in_is_told_the_mend(tmp_path: Path):
    script = SCRIPT.format(guard="True")
    assert "defined interactively" in run_script("-c", script, cwd=tmp_path)
