"""The verbs of the command line: the same on a store of this machine and on a deployed app."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import ostinato as ost
import ostinato_azure
from ostinato.cli.commands import cli
from ostinato.cli.inputs import time_before
from ostinato.cli.outcome import UsageError
from ostinato.cli.targets import URL_VARIABLE
from ostinato.client import Client, RuntimeStatus
from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from tests.azure.test_client import PATIENCE, application, broken
from tests.conformance.harness import EPOCH
from tests.test_cli import refused


class Place:
    """Where instances are: what reaches it from here, and what does from the command line."""

    client: Client
    settle: Callable[[], None]
    options: tuple[str, ...] = ()

    def do(self, *arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(cli, [*arguments, *self.options], input=input)

    def told(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        done = self.do(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def accepts(self, *arguments: str, input: str | None = None) -> bool:
        done = self.do(*arguments, input=input)
        self.settle()
        return (done.exit_code, done.stdout, done.stderr) == (0, "", "accepted\n")


@pytest.fixture(params=["local", "azure"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A host that executes instances, and an empty folder to call the command line from."""
    monkeypatch.chdir(tmp_path)
    broken.clear()
    place, app, clock = Place(), application(), ManualClock(EPOCH)
    if request.param == "local":
        with ost.local.LocalHost(app, store="ostinato.db", clock=clock) as host:
            place.client, place.settle = host.client, host.settle
            yield place
        return
    worker = DirectWorker(ostinato_azure.function_app(app))
    with FunctionsHost(worker, clock=clock) as host:
        monkeypatch.setenv(URL_VARIABLE, host.url)
        client = AzureClient(host.url)
        place.client, place.settle, place.options = client, host.settle, ("--target", "azure")
        yield place
        client.close()
    worker.close()


def ended(place: Place, instance_id: str) -> tuple[RuntimeStatus, Any]:
    status = place.client.wait(instance_id, PATIENCE)
    return status.runtime_status, status.output


def test_the_status_of_an_instance_is_printed_for_people_and_as_json(place: Place):
    place.client.start("job", 21, instance_id="one", tags={"team": "red"})
    ended(place, "one")
    table = place.do("status", "one")
    assert table.exit_code == 0
    for part in ("one", "job", "Completed", "2030-01-01", "team=red", "21", "42", '{"at": "work"}'):
        assert part in table.stdout
    told = place.told("status", "one")
    assert (told["runtime_status"], told["output"], told["tags"]) == (
        "Completed",
        42,
        {"team": "red"},
    )


def test_the_status_of_a_failed_instance_says_why(place: Place):
    broken.set()
    place.client.start("job", 1, instance_id="bad")
    ended(place, "bad")
    assert "ValueError: not today" in place.do("status", "bad").stdout
    assert place.told("status", "bad")["failure"]["message"] == "not today"


def test_the_status_of_an_unfinished_instance_says_what_it_waits_for(place: Place):
    place.client.start("parent", 0, instance_id="boss")
    place.client.start("varied", instance_id="late")
    place.settle()
    (child,) = place.told("status", "boss")["waits_for"]
    assert child.startswith("child 'waits' 'boss-c', since 20")
    assert f"waits for      {child}\n" in place.do("status", "boss").stdout
    timer, event = place.told("status", "late")["waits_for"]
    assert timer.startswith("the timer due at 20")
    assert event.startswith("perhaps an external event, too (")
    (event,) = place.told("status", "boss-c")["waits_for"]
    assert event.startswith("an external event, or its next turn (")
    assert ("Azure does not tell which" if place.options else "see --app") in event
    place.client.suspend("boss-c")
    place.settle()
    assert place.told("status", "boss-c")["waits_for"] == ["being resumed: it is suspended", event]
    place.client.terminate("boss")
    ended(place, "boss")
    assert place.told("status", "boss")["waits_for"] == []
    assert "waits for" not in place.do("status", "boss").stdout


def test_instances_are_listed_by_what_the_options_say(place: Place):
    for number, team in enumerate(["red", "blue", "red"]):
        place.client.start("job", number, instance_id=f"a{number}", tags={"team": team})
        ended(place, f"a{number}")
    place.client.start("waits", instance_id="b0")
    place.settle()

    def found(*options: str) -> set[str]:
        return {status["instance_id"] for status in place.told("list", *options)}

    assert found() == {"a0", "a1", "a2", "b0"}
    assert found("--status", "completed", "--tag", "team=red") == {"a0", "a2"}
    assert found("--prefix", "b") == {"b0"}
    assert found("--name", "waits") == {"b0"}
    assert found("--name", "job", "--tag", "team=blue") == {"a1"}
    assert found("--name", "jo") == set()
    assert found("--status", "Running", "--status", "Failed") == {"b0"}
    assert found("--created-to", "2029-12-31") == set()
    assert found("--created-from", "2030-01-01T00:00:00") == {"a0", "a1", "a2", "b0"}
    table = place.do("list", "--prefix", "a1")
    assert "a1" in table.stdout
    assert "team=blue" in table.stdout
    assert table.stderr == ""


def test_a_list_that_is_cut_says_so(place: Place):
    for number in range(3):
        place.client.start("waits", instance_id=f"w{number}")
    cut = place.do("list", "--limit", "2", "--json")
    assert len(json.loads(cut.stdout)) == 2
    assert cut.stderr == "there are more: --limit 20\n"
    assert place.do("list", "--limit", "3", "--json").stderr == ""


def test_events_are_raised_with_data_and_taken_once_by_id(place: Place):
    place.client.start("once", instance_id="o")
    same = ("raise-event", "o", "other", "--event-id", "same")
    assert place.accepts(*same, "--data", '{"a": 1}')
    assert place.accepts(*same, "--data", "2")
    assert place.accepts("raise-event", "o", "go", "--data", "-", input="3")
    assert ended(place, "o") == (RuntimeStatus.COMPLETED, [{"a": 1}, True])
    assert refused(place.do("raise-event", "o", "go"), "'o' has ended")
    wrong = place.do("raise-event", "o", "go", "--data", "nope")
    assert refused(wrong, "--data is no JSON", "--data '\"nope\"'")
    assert refused(place.do("raise-event", "o", ""), "name of an event is empty")


def test_an_instance_is_suspended_resumed_and_terminated(place: Place):
    place.client.start("parent", 0, instance_id="boss")
    place.settle()
    assert place.accepts("suspend", "boss", "--reason", "lunch")
    assert place.told("status", "boss")["runtime_status"] == "Suspended"
    assert place.accepts("resume", "boss")
    assert place.told("status", "boss")["runtime_status"] == "Running"
    assert place.accepts("terminate", "boss", "--reason", "enough")
    assert ended(place, "boss") == (RuntimeStatus.TERMINATED, "enough")
    assert ended(place, "boss-c") == (RuntimeStatus.TERMINATED, "parent ended")
    reasons = [event.get("reason") for event in place.told("history", "boss")]
    assert "lunch" in reasons


def test_terminating_may_leave_children_alone(place: Place):
    place.client.start("parent", 0, instance_id="boss")
    place.settle()
    assert place.accepts("terminate", "boss", "--no-cascade")
    ended(place, "boss")
    assert place.told("status", "boss-c")["runtime_status"] == "Running"


def test_a_failed_instance_is_rewound(place: Place):
    broken.set()
    place.client.start("job", 1, instance_id="bad")
    ended(place, "bad")
    broken.clear()
    assert place.accepts("rewind", "bad", "--reason", "mended")
    assert ended(place, "bad") == (RuntimeStatus.COMPLETED, 2)
    assert refused(place.do("rewind", "bad"), "is Completed")


def test_an_orchestration_is_restarted_under_a_new_the_given_or_the_same_id(place: Place):
    place.client.start("job", 4, instance_id="one")
    ended(place, "one")
    for options in ([], ["--new-id", "two"], ["--same-id"]):
        done = place.do("restart", "one", *options)
        assert done.exit_code == 0
        assert ended(place, done.stdout.strip()) == (RuntimeStatus.COMPLETED, 8)
    assert place.do("restart", "one", "--same-id").stdout == "one\n"
    both = place.do("restart", "one", "--same-id", "--new-id", "x")
    assert refused(both, "--new-id and --same-id")


def test_an_id_that_is_in_use_is_told_with_what_a_shell_can_do_about_it(place: Place):
    place.client.start("job", 4, instance_id="one")
    ended(place, "one")
    place.client.start("waits", instance_id="busy")
    place.settle()
    over = place.do("restart", "busy", "--new-id", "one")
    assert refused(over, "an instance 'one' already", "another --new-id", "ostinato purge one")
    taken = place.do("restart", "one", "--new-id", "busy")
    assert refused(taken, "'busy' has not ended", "another --new-id", "ostinato terminate busy")
    assert "if_exists" not in taken.stderr
    assert ("--target azure" in taken.stderr) == bool(place.options)
    itself = place.do("restart", "busy", "--same-id")
    assert refused(itself, "'busy' has not ended", "leave --same-id out")


def test_a_finished_instance_is_forgotten_with_its_children(place: Place):
    place.client.start("parent", 0, instance_id="boss")
    place.settle()
    assert refused(place.do("purge", "boss"), "'boss' is Running")
    place.client.terminate("boss")
    ended(place, "boss-c")
    assert place.do("purge", "boss").stdout == "2\n"
    assert refused(place.do("status", "boss"), "there is no instance 'boss'")


def test_many_are_forgotten_only_when_the_user_is_sure(place: Place):
    for number in range(3):
        place.client.start("job", number, instance_id=f"a{number}")
        ended(place, f"a{number}")
    place.client.start("waits", instance_id="a3")
    many = ("purge", "--prefix", "a")
    assert refused(place.do(*many), "nobody is there to confirm: give --yes")
    assert refused(place.do("purge", "--yes"), "name an instance, or which ones")
    assert refused(place.do(*many, "a0"), "do not go together")
    assert place.do(*many, "--name", "waits", "--yes").stdout == "0\n"
    assert place.do("purge", "--name", "job", "--prefix", "a0", "--yes").stdout == "1\n"
    assert place.do("purge", "--name", "job", "--yes").stdout == "2\n"
    assert [status["instance_id"] for status in place.told("list")] == ["a3"]


def test_old_ones_are_forgotten_by_their_age(place: Place):
    place.client.start("job", 1, instance_id="a1")
    ended(place, "a1")
    created = place.client.get_status("a1").created_at
    old = datetime.now(UTC) - created > timedelta(days=1)  # where the clock is the test's own
    assert place.do("purge", "--older-than", "9999w", "--yes").stdout == "0\n"
    assert place.do("purge", "--older-than", "1d", "--yes").stdout == f"{int(old)}\n"
    both = ("purge", "--older-than", "1d", "--created-to", "2026-01-01")
    assert refused(place.do(*both), "--older-than and --created-to")


@pytest.mark.parametrize("age", ["", "90", "d", "1y", "-1d", "1.5d", "999999w"])
def test_an_age_that_is_none_is_refused(age: str):
    with pytest.raises(UsageError, match="--older-than"):
        time_before(datetime(2026, 1, 1, tzinfo=UTC), age, "--older-than")


@pytest.mark.parametrize(
    ("age", "then"),
    [
        ("90m", datetime(2025, 12, 31, 22, 30, tzinfo=UTC)),
        ("24h", datetime(2025, 12, 31, tzinfo=UTC)),
        ("31d", datetime(2025, 12, 1, tzinfo=UTC)),
        ("1w", datetime(2025, 12, 25, tzinfo=UTC)),
    ],
)
def test_an_age_is_told_in_minutes_hours_days_or_weeks(age: str, then: datetime):
    assert time_before(datetime(2026, 1, 1, tzinfo=UTC), age, "--older-than") == then


def test_a_history_is_printed_as_a_table_or_as_json(place: Place):
    place.client.start("job", 21, instance_id="one")
    ended(place, "one")
    table = place.do("history", "one")
    for part in ("ExecutionStarted", "TaskScheduled", "double", "TaskCompleted", "42"):
        assert part in table.stdout
    (scheduled,) = (line for line in table.stdout.splitlines() if "TaskScheduled" in line)
    assert scheduled.endswith("double" if place.options else "double  21")  # Azure tells no input
    told = place.do("history", "one", "--json")
    assert ("for people" in told.stderr) == bool(place.options)
    events = json.loads(told.stdout)
    assert [e["name"] for e in events if e["type"] == "TaskScheduled"] == ["double"]


def test_what_is_not_there_or_wrong_is_told_in_a_line(place: Place):
    for verb in ("status", "suspend", "resume", "terminate", "rewind", "restart", "purge"):
        assert refused(place.do(verb, "x"), "error: there is no instance 'x'")
    assert refused(place.do("list", "--tag", "red"), "--tag red: write name=value")
    assert refused(place.do("list", "--status", "Lost"), "Lost")


def test_a_store_that_nobody_executes_takes_messages(tmp_path: Path):
    store = tmp_path / "s.db"
    with ost.local.LocalHost(application(), store=store) as host:
        host.client.start("waits", 1, instance_id="w")
        host.settle()
    runner = CliRunner()
    done = runner.invoke(cli, ["raise-event", "w", "go", "--data", "2", "--store", str(store)])
    assert (done.exit_code, done.stderr) == (0, "accepted\n")
    with ost.local.LocalHost(application(), store=store) as host:
        assert host.client.wait("w", PATIENCE).output == [1, 2]
