"""The command line: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import ostinato as ost
from ostinato.cli.commands import cli
from ostinato.cli.discovery import USUAL, find_app
from ostinato.cli.display import Live
from ostinato.errors import StoreError
from ostinato.local import ActivityProgress, Progress

APP = """
import socket
import ostinato as ost

app = ost.App("shop")

class SoldOut(Exception):
    pass

@app.activity
def double(number: int) -> int:
    return number * 2

@app.activity(raises=[SoldOut])
def reserve(item: str) -> str:
    raise SoldOut(f"no {item} left")

@app.activity
def count(item: str) -> int:
    with open(f"{item}.txt") as file:
        return int(file.read())

@app.activity
def note(text: str) -> None:
    with open("log.txt", "a") as file:
        file.write(text + "\\n")

@app.activity
def gate(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return connection.recv(100).decode()

@app.orchestration
def quadruple(ctx, number: int):
    twice = yield ctx.call_activity(double, number)
    return (yield ctx.call_activity(double, twice))

@app.orchestration
def sells(ctx, item: str):
    return (yield ctx.call_activity(reserve, item))

@app.orchestration
def waits(ctx):
    return (yield ctx.wait_for_external_event("never"))

@app.orchestration
def counts(ctx, item: str):
    return (yield ctx.call_activity(count, item))

@app.orchestration
def gated(ctx, port: int):
    yield ctx.call_activity(note, "first")
    answer = yield ctx.call_activity(gate, port)
    yield ctx.call_activity(note, "last")
    return answer
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, whose modules are forgotten afterwards."""
    hidden = {name: sys.modules.pop(name) for name in USUAL if name in sys.modules}
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
    sys.modules.update(hidden)


@pytest.fixture
def shop(folder: Path) -> Path:
    """A folder with an application, in its only file."""
    (folder / "shop.py").write_text(APP)
    return folder


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["run", *arguments], input=input)


def load(folder: Path) -> ost.App:
    return find_app("shop:app", folder)


def spawn(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ostinato.cli", "run", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def listening() -> Generator[socket.socket, None, None]:
    """What the activity ``gate`` connects to: who accepts knows that it runs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


# --- running ---


def test_the_output_is_printed_as_json_and_the_progress_elsewhere(shop: Path):
    result = run("quadruple", "--input", "5")
    assert (result.exit_code, result.stdout) == (0, "20\n")
    assert "started quadruple as" in result.stderr
    assert "double" in result.stderr
    assert "2/2 done" in result.stderr


def test_quiet_shows_nothing_but_the_output(shop: Path):
    result = run("quadruple", "--input", "5", "--quiet")
    assert (result.stdout, result.stderr) == ("20\n", "")


def test_json_gives_the_whole_outcome(shop: Path):
    outcome = json.loads(run("sells", "--input", '"hat"', "--id", "s1", "--json").stdout)
    assert outcome["instance_id"] == "s1"
    assert (outcome["exit_code"], outcome["runtime_status"]) == (1, "Failed")
    assert outcome["failure"]["message"] == "no hat left"


def test_an_input_comes_from_a_file_or_from_standard_input(shop: Path):
    (shop / "five.json").write_text("5", encoding="utf-8-sig")
    assert run("quadruple", "--input", "@five.json", "--quiet").stdout == "20\n"
    assert run("quadruple", "--input", "-", "--quiet", input="6").stdout == "24\n"


def test_a_failure_shows_type_message_activity_and_traceback(shop: Path):
    result = run("sells", "--input", '"hat"')
    assert (result.exit_code, result.stdout) == (1, "")
    for part in ("SoldOut", "no hat left", "'reserve'", "Traceback", "raise SoldOut"):
        assert part in result.stderr
    assert "ostinato/local" not in result.stderr


def test_a_terminated_instance_exits_with_3(shop: Path):
    with ost.local.LocalHost(load(shop), store="ostinato.db") as host:
        host.client.start("waits", instance_id="w")
        host.client.terminate("w", "enough")
        host.client.wait("w", timeout=30)
    result = run("waits", "--id", "w")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "w was terminated" in result.stderr


def test_after_the_timeout_the_instance_is_left_to_the_next_run(shop: Path):
    result = run("waits", "--id", "w", "--timeout", "0.01")
    assert result.exit_code == 4
    assert "ostinato run waits --id w" in result.stderr
    with ost.local.LocalHost(load(shop), store="ostinato.db") as host:
        host.client.raise_event("w", "never", "now")
        assert host.client.wait("w", timeout=30).output == "now"


def test_other_unfinished_instances_are_counted(shop: Path):
    for name in ("a", "b"):
        run("waits", "--id", name, "--timeout", "0")
    result = run("quadruple", "--input", "1")
    assert result.exit_code == 0
    assert "continuing 2 other instances found unfinished" in result.stderr


# --- what the screen shows ---


def drawn(
    progress: Progress,
    *,
    ended: bool = True,
    attempts: bool = False,
    trouble: Exception | None = None,
    color: bool = False,
) -> str:
    """What is left on the screen when a run stops there."""
    screen = StringIO()
    system: Literal["standard"] | None = "standard" if color else None
    console = Console(
        file=screen, width=150, force_terminal=color, color_system=system, no_color=False
    )
    with Live(console) as live:
        trouble_before = StoreError("no trouble any more")
        live.show(Progress(), ended=False, attempts=attempts, trouble=trouble_before)
        live.show(progress, ended=ended, attempts=attempts, trouble=trouble)
    return screen.getvalue()


def of_reserve(**counts: int) -> Progress:
    return Progress(by_activity={"reserve": ActivityProgress(**counts)})


def test_calls_that_failed_for_good_are_done_and_counted_in_red():
    progress = of_reserve(scheduled=6, completed=1, failed=5, retried=3)
    (line,) = drawn(progress).splitlines()
    for part in ("✓ reserve", "3/3 done", "3 retries", "2 failed"):
        assert part in line
    assert "\x1b[31m2 failed\x1b[0m" in drawn(progress, color=True)


def test_where_each_attempt_counts_one_that_failed_is_done_before_the_end_and_after():
    progress = of_reserve(scheduled=8, completed=6, failed=2)
    for ended in (False, True):
        (line,) = drawn(progress, ended=ended, attempts=True).splitlines()
        assert "8/8 done" in line
        assert "2 attempts failed" in line


def test_what_may_be_tried_again_does_not_count_as_failed():
    told = drawn(of_reserve(scheduled=3, completed=1, failed=2, retried=1), ended=False)
    assert "1/2 done" in told
    assert "1 retry" in told
    assert "failed" not in told


def test_trouble_with_the_store_is_shown_while_it_lasts():
    assert "the disk is full" in drawn(Progress(), trouble=StoreError("the disk is full"))
    assert "trouble" not in drawn(of_reserve(scheduled=1))


def test_a_run_that_stops_because_nothing_can_be_written_says_why(shop: Path):
    run("waits", "--id", "w", "--timeout", "0")
    with ost.local.connect("ostinato.db") as hub:
        hub.client.raise_event("w", "never", "now")
    with closing(sqlite3.connect("ostinato.db")) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    result = run("waits", "--id", "w", "--timeout", "0", "--quiet")
    assert result.exit_code == 4
    assert "not finished in time: task hub" in result.stderr
    assert "no room; nothing is lost, continue with:\n  ostinato run waits --id w" in result.stderr
    outcome = json.loads(run("waits", "--id", "w", "--timeout", "0", "--json").stdout)
    assert outcome["trouble"].endswith("no room")
    with closing(sqlite3.connect("ostinato.db")) as db:
        db.execute("DROP TRIGGER full")
    assert run("waits", "--id", "w", "--quiet").stdout == '"now"\n'


# --- instances that exist ---


def test_a_finished_instance_gives_its_outcome_again(shop: Path):
    run("quadruple", "--input", "5", "--id", "q")
    result = run("quadruple", "--input", "7", "--id", "q")
    assert (result.exit_code, result.stdout) == (0, "20\n")
    assert "has ended before" in result.stderr


def test_a_finished_instance_can_be_run_again(shop: Path):
    run("quadruple", "--input", "5", "--id", "q")
    result = run("quadruple", "--input", "7", "--id", "q", "--if-exists", "replace_finished")
    assert (result.exit_code, result.stdout) == (0, "28\n")


def test_a_finished_instance_is_run_again_with_its_own_input(shop: Path):
    again = ("--id", "q", "--if-exists", "replace_finished")
    run("quadruple", "--input", "5", "--id", "q")
    result = run("quadruple", *again)
    assert (result.exit_code, result.stdout) == (0, "20\n")
    assert "started quadruple as q" in result.stderr
    assert refused(run("quadruple", *again, "--input", "null"), "'quadruple'", "int")


def test_the_input_of_another_orchestration_is_not_taken_over(shop: Path):
    run("quadruple", "--input", "5", "--id", "q")
    assert refused(run("counts", "--id", "q", "--if-exists", "replace_finished"), "'counts'", "str")


def test_a_rewound_instance_is_waited_for(shop: Path):
    assert run("counts", "--input", '"hat"', "--id", "c").exit_code == 1
    (shop / "hat.txt").write_text("3")
    with ost.local.connect("ostinato.db") as hub:
        hub.client.rewind("c")
    result = run("counts", "--id", "c")
    assert (result.exit_code, result.stdout) == (0, "3\n")
    assert "continuing c" in result.stderr


def test_an_existing_instance_can_be_refused(shop: Path):
    run("quadruple", "--input", "5", "--id", "q")
    result = run("quadruple", "--input", "7", "--id", "q", "--if-exists", "reject")
    assert result.exit_code == 2
    assert "there is an instance 'q' already (Completed)" in result.stderr


def test_an_instance_of_another_orchestration_is_not_continued(shop: Path):
    run("waits", "--id", "w", "--timeout", "0")
    result = run("quadruple", "--input", "7", "--id", "w")
    assert result.exit_code == 2
    assert "'w' is one of 'waits', not of 'quadruple'" in result.stderr


def test_another_input_for_an_unfinished_instance_is_told_of(shop: Path):
    with listening() as server:
        port = server.getsockname()[1]
        first = spawn(shop, "gated", "--input", str(port), "--id", "g")
        first_connection, _ = server.accept()
        with first_connection:
            first.kill()
        first.communicate(timeout=60)
        result = run("gated", "--input", "1", "--id", "g", "--timeout", "0")
        second_connection, _ = server.accept()
        second_connection.close()
    assert "not used: g goes on with the input it was started with" in result.stderr


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_warnings_are_shown_where_progress_is_not(shop: Path, option: str):
    run("quadruple", "--input", "1", "--id", "q")
    assert run("quadruple", "--input", "1", "--id", "q", option).stderr == ""
    assert run("quadruple", "--id", "q", option).stderr == ""
    assert run("quadruple", "--input", "true", "--id", "q", option).stderr == (
        "warning: the input given is not used: q has ended with the input it was started with\n"
    )


def test_a_suspended_instance_is_warned_of(shop: Path):
    with ost.local.LocalHost(load(shop), store="ostinato.db") as host:
        host.client.start("waits", instance_id="w")
        host.client.suspend("w")
        host.settle()
    result = run("waits", "--id", "w", "--timeout", "0", "--quiet")
    assert "w is suspended, and waits to be resumed" in result.stderr


def tags_of(instance_id: str) -> dict[str, str]:
    with ost.local.connect("ostinato.db") as hub:
        return hub.client.get_status(instance_id).tags


def test_an_instance_is_found_by_the_tags_that_it_was_run_with(shop: Path):
    run("quadruple", "--input", "1", "--id", "q", "--tag", "team=red", "--tag", "day=a=b")
    assert tags_of("q") == {"team": "red", "day": "a=b"}
    listed = CliRunner().invoke(cli, ["list", "--tag", "team=red", "--json"])
    assert [one["instance_id"] for one in json.loads(listed.stdout)] == ["q"]
    assert refused(run("quadruple", "--input", "1", "--tag", "red"), "--tag red: write name=value")


def test_an_instance_that_is_run_again_keeps_its_tags_unless_others_are_given(shop: Path):
    again = ("quadruple", "--id", "q", "--if-exists", "replace_finished")
    run("quadruple", "--input", "1", "--id", "q", "--tag", "team=red")
    assert run(*again).stdout == "4\n"
    assert tags_of("q") == {"team": "red"}
    assert run(*again, "--tag", "team=blue").stdout == "4\n"
    assert tags_of("q") == {"team": "blue"}


def test_other_tags_for_an_instance_that_exists_are_told_of(shop: Path):
    run("quadruple", "--input", "1", "--id", "q", "--tag", "team=red", "--tag", "day=1")
    assert run("quadruple", "--id", "q", "--quiet", "--tag", "team=red").stderr == ""
    assert run("quadruple", "--id", "q", "--quiet", "--tag", "team=blue").stderr == (
        "warning: the tags given are not used: q has ended with the tags it was started with\n"
    )


# --- being killed ---


def test_a_killed_run_goes_on_and_repeats_nothing_that_was_done(shop: Path):
    with listening() as server:
        arguments = ("gated", "--input", str(server.getsockname()[1]), "--id", "g")
        killed = spawn(shop, *arguments)
        connection, _ = server.accept()
        killed.kill()
        killed.communicate(timeout=60)
        connection.close()
        again = spawn(shop, *arguments)
        connection, _ = server.accept()
        connection.sendall(b"open")
        connection.close()
        output, told = again.communicate(timeout=60)
    assert (again.returncode, json.loads(output)) == (0, "open")
    assert "continuing g: 1 of 2 activities were done" in told
    assert (shop / "log.txt").read_text().split() == ["first", "last"]


@pytest.mark.skipif(os.name == "nt", reason="no signals for a child on Windows")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_end_gracefully_and_say_how_to_go_on(
    shop: Path, number: signal.Signals, code: int
):
    with listening() as server:
        process = spawn(
            shop, "gated", "--input", str(server.getsockname()[1]), "--id", "g", "--store", "s.db"
        )
        connection, _ = server.accept()
        process.send_signal(number)
        assert process.stderr is not None
        told = ""
        while "stopping" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        connection.close()
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "ostinato run gated --id g --store s.db" in rest
    assert "Traceback" not in told + rest


def test_the_handler_of_sigterm_is_put_back(shop: Path):
    def mine(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        run("quadruple", "--input", "5")
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_outside_the_main_thread_leaves_signals_alone(shop: Path):
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run, "quadruple", "--input", "5").result().stdout == "20\n"


# --- the user's own mistakes ---


def refused(result: Result, *parts: str) -> bool:
    """Whether it ended as wrong usage, in one message with all ``parts``, without a traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    return all(part in result.stderr for part in parts)


def test_an_unknown_orchestration_is_answered_with_similar_names(shop: Path):
    assert refused(run("quadrupel"), "no orchestration 'quadrupel'", "did you mean 'quadruple'?")
    assert refused(run("xyz"), "there are quadruple, sells, waits, counts, gated")
    assert not (shop / "ostinato.db").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a": nope}', ["line 1, column 7", '{"a": nope}', "      ^"]),
        ("hat", ["column 1", "a text needs its quotes", "'\"hat\"'"]),
        ("[1,\n2,,3]", ["line 2, column 3", "2,,3"]),
        ("", ["column 1"]),
        ("[NaN]", ["NaN is no JSON"]),
        ("[" * 100_000, ["nested too deeply"]),
        ("@missing.json", ["missing.json: No such file"]),
    ],
)
def test_an_input_that_is_no_json_is_pointed_at(shop: Path, text: str, parts: list[str]):
    assert refused(run("quadruple", "--input", text), *parts)


def test_an_input_file_that_is_no_utf8_is_refused(shop: Path):
    (shop / "latin.json").write_bytes(b'"caf\xe9"')
    assert refused(run("quadruple", "--input", "@latin.json"), "latin.json is not UTF-8", "byte 4")


def test_an_input_that_does_not_fit_the_annotation_is_refused(shop: Path):
    assert refused(run("quadruple", "--input", '"five"'), "'quadruple'", "int")


def test_an_id_that_is_not_valid_everywhere_is_refused(shop: Path):
    assert refused(run("quadruple", "--input", "1", "--id", "a/b"), "'a/b'", "'/'")


def test_a_store_that_is_executed_by_another_process_is_refused(shop: Path):
    with ost.local.LocalHost(load(shop), store="ostinato.db"):
        assert refused(run("quadruple", "--input", "1"), "ostinato.db", str(os.getpid()))


def test_a_file_that_is_no_store_is_refused_and_left_alone(shop: Path):
    (shop / "notes.txt").write_text("my notes, quite long ones\n" * 100)
    before = (shop / "notes.txt").read_bytes()
    assert refused(run("quadruple", "--input", "1", "--store", "notes.txt"), "notes.txt")
    assert (shop / "notes.txt").read_bytes() == before


def test_a_store_in_a_folder_that_is_not_there_is_refused(shop: Path):
    assert refused(run("quadruple", "--input", "1", "--store", "no/such/s.db"), "no/such/s.db")


def test_an_option_that_does_not_exist_is_wrong_usage(shop: Path):
    assert refused(run("quadruple", "--inptu", "1"), "--inptu")


# --- finding the application ---


def app_with(orchestration: str) -> str:
    return (
        f"import ostinato as ost\napp = ost.App()\n@app.orchestration\n"
        f"def {orchestration}(ctx):\n    return {orchestration!r}\n    yield\n"
    )


def test_pyproject_names_the_application_for_all_folders_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "pyproject.toml").write_text('[tool.ostinato]\napp = "configured:app"\n')
    (folder / "configured.py").write_text(app_with("hello"))
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert run("hello", "--quiet").stdout == '"hello"\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tool = 3", "tool"),
        ("[tool]\nostinato = 'shop'", "tool.ostinato"),
        ("[tool.ostinato]\napp = 3", "tool.ostinato.app"),
    ],
)
def test_a_pyproject_of_another_shape_is_told_in_a_line(folder: Path, text: str, place: str):
    (folder / "pyproject.toml").write_text(text)
    assert refused(run("hello"), f"{folder / 'pyproject.toml'}: Expected", f"at `$.{place}`")


@pytest.mark.parametrize("module", ["app", "main", "orchestrations"])
def test_the_usual_modules_are_found(folder: Path, module: str):
    (folder / f"{module}.py").write_text(app_with("hello"))
    assert run("hello", "--quiet").stdout == '"hello"\n'


def test_an_application_can_be_named_by_module_or_by_file(folder: Path):
    (folder / "one.py").write_text(app_with("first"))
    (folder / "two.py").write_text(app_with("second"))
    assert run("first", "--app", "one:app", "--quiet").stdout == '"first"\n'
    assert run("second", "--app", "two.py", "--quiet").stdout == '"second"\n'


def test_where_no_application_is_found_the_places_tried_are_named(folder: Path):
    assert refused(
        run("hello"),
        "found no application",
        "[tool.ostinato] app in pyproject.toml; module app; module main; module orchestrations",
        "--app module:attribute",
    )


def test_several_files_with_applications_are_named(folder: Path):
    (folder / "one.py").write_text(app_with("first"))
    (folder / "two.py").write_text(app_with("second"))
    assert refused(run("first"), "one.py, two.py")


def test_a_module_or_attribute_that_is_not_there_is_named(shop: Path):
    assert refused(run("x", "--app", "nowhere:app"), "no module 'nowhere'")
    assert refused(run("x", "--app", "shop:ap"), "no app 'ap'", "did you mean 'app'?")
    assert refused(run("x", "--app", "gone.py"), "gone.py")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("import ostinato\napp = ostinato.App()\nimport no_such_package\n", ["no_such_package"]),
        ("app = 1 / 0  # App(\n", ["ZeroDivisionError", "app = 1 / 0", "app.py:1"]),
        ("app = (\n", ["SyntaxError", "app.py:1"]),
        ("raise SystemExit('no app')\n", ["SystemExit: no app", "app.py:1"]),
    ],
)
def test_an_application_that_cannot_be_imported_is_told_in_a_line(
    folder: Path, source: str, parts: list[str]
):
    (folder / "app.py").write_text(source)
    assert refused(run("hello"), "module 'app' cannot be imported", *parts)


def test_a_name_that_is_registered_twice_is_told_with_the_line_that_does_it(folder: Path):
    (folder / "ostinato_app.py").write_text(
        "import ostinato as ost\napp = ost.App()\n"
        "@app.activity\ndef pay(): ...\n"
        '@app.activity(name="pay")\ndef charge(): ...\n'
    )
    assert refused(
        run("hello"),
        "module 'ostinato_app' cannot be imported: RegistrationError:",
        "'pay'",
        'ostinato_app.py:5: @app.activity(name="pay")',
    )


def test_what_the_users_code_prints_does_not_come_between_the_json(folder: Path):
    (folder / "app.py").write_text(
        "import ostinato as ost\nprint('loading')\napp = ost.App()\n"
        "@app.orchestration\ndef talks(ctx):\n"
        "    print('waiting')\n    return (yield ctx.wait_for_external_event('never'))\n"
    )
    ran = run("talks", "--id", "t", "--timeout", "0.01", "--json")
    assert json.loads(ran.stdout)["waits_for"] == ["event 'never'"]
    assert "loading\n" in ran.stderr
    told = status("t", "--json")
    assert json.loads(told.stdout)["waits_for"] == ["event 'never'"]
    assert "waiting\n" in told.stderr


# --- what an instance waits for ---


def status(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["status", *arguments])


def test_the_code_at_hand_tells_which_event_an_instance_waits_for(shop: Path):
    run("waits", "--id", "w", "--timeout", "0.01")
    assert "waits for      event 'never'\n" in status("w").stdout
    assert json.loads(status("w", "--json").stdout)["waits_for"] == ["event 'never'"]


def test_where_several_apps_are_at_hand_an_option_names_the_one_that_tells(shop: Path):
    run("waits", "--id", "w", "--timeout", "0.01")
    (shop / "other.py").write_text(app_with("waits"))
    assert "an external event, or its next turn (its code tells which" in status("w").stdout
    assert "event 'never'" in status("w", "--app", "shop:app").stdout
    # Another's code contradicts the history, and tells nothing.
    assert "an external event" in status("w", "--app", "other:app").stdout
    assert refused(status("w", "--app", "shop:nothing"), "no app 'nothing'")
    elsewhere = ("--app", "shop:app", "--target", "azure", "--url", "https://app.example")
    assert refused(status("w", *elsewhere), "--app goes with --target local")


def test_an_instance_that_nobody_has_begun_waits_for_its_start(shop: Path):
    run("quadruple", "--input", "1")
    with ost.local.connect("ostinato.db") as hub:
        hub.client.start("waits", instance_id="now")
        hub.client.start("waits", instance_id="later", start_at=datetime(2130, 1, 1, tzinfo=UTC))
    assert json.loads(status("now", "--json").stdout)["waits_for"] == ["its first turn"]
    told = json.loads(status("later", "--json").stdout)["waits_for"]
    assert told == ["its start at 2130-01-01 00:00:00 UTC"]


# --- histories ---


def test_a_history_is_printed_as_a_table_or_as_json(shop: Path):
    run("quadruple", "--input", "5", "--id", "q")
    table = CliRunner().invoke(cli, ["history", "q"])
    assert table.exit_code == 0
    for part in ("ExecutionStarted", "TaskScheduled", "double", "TaskCompleted", "20"):
        assert part in table.stdout
    events = json.loads(CliRunner().invoke(cli, ["history", "q", "--json"]).stdout)
    assert [e["name"] for e in events if e["type"] == "TaskScheduled"] == ["double", "double"]


def test_the_history_of_an_instance_or_store_that_is_not_there_is_refused(shop: Path):
    assert refused(CliRunner().invoke(cli, ["history", "q"]), "there is no file ostinato.db")
    run("quadruple", "--input", "5", "--id", "q")
    assert refused(CliRunner().invoke(cli, ["history", "x"]), "there is no instance 'x'")


def test_a_command_that_runs_here_loads_nothing_of_a_cloud():
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "sys.argv = ['ostinato', 'status', 'x']; import ostinato.cli as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    loaded = set(done.stderr.split())
    assert "ostinato.cli.commands" in loaded
    assert not loaded & {"ostinato_azure", "httpx", "azure", "starlette"}


def test_the_version_is_printed():
    done = CliRunner().invoke(cli, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"ostinato {ost.__version__}\n")


def test_without_typer_the_mend_is_named():
    code = "import sys; sys.modules['typer'] = None; import ostinato.cli as c; c.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: the command line needs typer: pip install 'ostinato[cli]'\n"
