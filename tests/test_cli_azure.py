"""The command line on a deployed app, for which the stand-in of its host stands, over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import ostinato as ost
import ostinato_azure
from ostinato.cli import hosting
from ostinato.cli.commands import cli
from ostinato.cli.display import Quiet
from ostinato.cli.hosting import Deployed
from ostinato.cli.listing import Listing, newest
from ostinato.cli.outcome import ExitCode
from ostinato.cli.running import Result as Outcome
from ostinato.cli.running import Run, follow
from ostinato.cli.targets import URL_VARIABLE, AzureTarget
from ostinato.client import Query
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato_azure.client import AzureClient
from ostinato_azure.webhook import KEY_VARIABLE
from tests.azure.test_client import PATIENCE, application, broken
from tests.test_cli import refused

KEY = "s3cret-key"


class Stand:
    """A deployed app, and the environment of who uses it."""

    def __init__(self) -> None:
        broken.clear()
        self.app = application()
        self._worker = DirectWorker(ostinato_azure.function_app(self.app))
        self.host = FunctionsHost(self._worker, key=KEY)
        self.url = self.host.url
        self.client = AzureClient(self.url, key=KEY)

    def close(self) -> None:
        self.client.close()
        self.host.close()
        self._worker.close()


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A deployed app, called from an empty folder."""
    made = Stand()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(URL_VARIABLE, made.url)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    yield made
    made.close()


def do(*arguments: str, input: str | None = None) -> Result:
    """Call the command line with the deployed app as target."""
    done = CliRunner().invoke(cli, [*arguments, "--target", "azure"], input=input)
    assert KEY not in done.output
    return done


def test_what_is_in_blob_storage_out_of_reach_is_shown_as_its_claim_with_a_note(stand: Stand):
    claim = {"$ostinato_claim": 1, "sha256": "0" * 64, "size": 300_000}
    base = f"{stand.url}/runtime/webhooks/durabletask/orchestrators/waits/one"
    assert httpx.post(base, json=claim, headers={"x-functions-key": KEY}).status_code == 202
    told = do("status", "one", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["input"] == claim
    assert told.stderr.count("the input of instance 'one' is in Blob storage") == 1
    assert "OSTINATO_CLAIM_CONTAINER" in told.stderr


# --- listing ---


class Created:
    """An app that lists instances by their ids, as Azure does, a page at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *created: int) -> None:
        self._created = created
        monkeypatch.setattr("ostinato.cli.listing.PAGE", 2)
        monkeypatch.setattr("ostinato.cli.listing.LOOKED_AT", 6)

    def listing(self, limit: int) -> Listing:
        transport = httpx.MockTransport(self._answer)
        target = AzureTarget("https://app.example")
        with closing(AzureClient(target.url, key=KEY, transport=transport)) as client:
            return newest(target, client, Query(), limit)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        begin = int(request.headers.get("x-ms-continuation-token", 0))
        end = begin + int(request.url.params["top"])
        told = [
            {**RUNNING, "instanceId": f"i{number}", "createdTime": f"2026-01-{day:02}T00:00:00Z"}
            for number, day in enumerate(self._created)
        ]
        headers = {"x-ms-continuation-token": str(end)} if end < len(told) else {}
        return httpx.Response(200, json=told[begin:end], headers=headers)


def test_the_newest_are_listed_though_azure_lists_by_id(monkeypatch: pytest.MonkeyPatch):
    listing = Created(monkeypatch, 3, 1, 5, 2, 4).listing(2)
    assert [status.instance_id for status in listing.found] == ["i2", "i4"]
    assert (listing.is_cut, listing.is_partial) == (True, False)
    listing = Created(monkeypatch, 3, 1, 5).listing(3)
    assert [status.instance_id for status in listing.found] == ["i2", "i0", "i1"]
    assert (listing.is_cut, listing.is_partial) == (False, False)


def test_a_list_of_more_than_are_looked_at_says_so_and_how_to_narrow_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
):
    listing = Created(monkeypatch, 3, 1, 5, 2, 4, 6, 9).listing(2)
    assert [status.instance_id for status in listing.found] == ["i5", "i2"]
    assert (listing.is_cut, listing.is_partial) == (True, True)
    for number in range(7):
        stand.client.start("waits", instance_id=f"w{number}")
    cut = do("list")
    assert cut.stdout.count("waits") == 6
    assert cut.stderr.startswith("note: Azure lists instances by their ids, and only the first")
    assert "--created-from" in cut.stderr
    assert do("list", "--prefix", "w6").stderr == ""


# --- running ---


def test_an_instance_runs_in_the_app_without_its_code_at_hand(stand: Stand):
    result = do("run", "job", "--input", "21", "--id", "one")
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert "started job as one" in result.stderr
    assert "double" in result.stderr
    assert "1/1 done" in result.stderr
    assert stand.client.get_status("one").output == 42
    assert list(Path().iterdir()) == []


def test_an_instance_has_the_tags_that_it_is_run_with(stand: Stand):
    do("run", "job", "--input", "1", "--id", "one", "--tag", "team=red")
    assert stand.client.get_status("one").tags == {"team": "red"}
    told = do("run", "job", "--id", "one", "--quiet", "--tag", "team=blue").stderr
    assert told.startswith("warning: the tags given are not used: one has ended")


def test_quiet_and_json_show_the_outcome_alone(stand: Stand):
    quiet = do("run", "job", "--input", "-", "--quiet", input="4")
    assert (quiet.stdout, quiet.stderr) == ("8\n", "")
    told = do("run", "job", "--input", "4", "--id", "j", "--json")
    outcome = json.loads(told.stdout)
    assert (outcome["instance_id"], outcome["exit_code"], outcome["output"]) == ("j", 0, 8)


def test_the_progress_counts_the_activities_of_children(stand: Stand):
    result = do("run", "varied", "--id", "v", "--timeout", "0")
    assert result.exit_code == 4
    stand.client.raise_event("v", "go")
    stand.host.settle(PATIENCE)
    progress = Deployed(stand.client).progress("v")
    assert (progress.scheduled, progress.completed, progress.failed) == (2, 2, 0)
    assert progress.by_activity["double"].completed == 2


def test_a_failure_shows_type_message_and_activity(stand: Stand):
    broken.set()
    result = do("run", "job", "--input", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    for part in ("ValueError", "not today", "'double'", "1 attempt failed"):
        assert part in result.stderr


def test_a_terminated_instance_exits_with_3(stand: Stand):
    stand.client.start("waits", instance_id="w")
    stand.client.terminate("w", "enough")
    result = do("run", "waits", "--id", "w")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "w was terminated" in result.stderr


def test_after_the_timeout_the_instance_goes_on_in_the_app(stand: Stand):
    result = do("run", "waits", "--input", "1", "--id", "w", "--timeout", "0.01")
    assert result.exit_code == 4
    assert f"ostinato status w --target azure --url {stand.url}" in result.stderr
    stand.client.raise_event("w", "go", 2)
    again = do("run", "waits", "--id", "w")
    assert (again.exit_code, json.loads(again.stdout)) == (0, [1, 2])


def test_a_finished_instance_gives_its_outcome_or_runs_again(stand: Stand):
    do("run", "job", "--input", "5", "--id", "q")
    kept = do("run", "job", "--input", "7", "--id", "q")
    assert (kept.exit_code, kept.stdout) == (0, "10\n")
    assert "the input given is not used" in kept.stderr
    assert refused(do("run", "job", "--id", "q", "--if-exists", "reject"), "'q' already")
    assert refused(do("run", "waits", "--id", "q"), "'q' is one of 'job', not of 'waits'")
    again = do("run", "job", "--input", "7", "--id", "q", "--if-exists", "replace_finished")
    assert (again.exit_code, again.stdout) == (0, "14\n")


def test_an_instance_that_runs_again_has_its_input_and_its_tags_again(stand: Stand):
    stand.client.start("job", 5, instance_id="q", tags={"team": "red"})
    stand.client.wait("q", PATIENCE)
    again = do("run", "job", "--id", "q", "--if-exists", "replace_finished")
    assert (again.exit_code, again.stdout) == (0, "10\n")
    assert stand.client.get_status("q").tags == {"team": "red"}


@pytest.mark.skipif(os.name == "nt", reason="no signals for a child on Windows")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_leave_the_instance_running_and_say_how_to_look_at_it(
    stand: Stand, number: signal.Signals, code: int
):
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato.cli", "run", "waits", "--id", "w", "--target", "azure"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "started waits as w\n"
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "interrupted; w goes on in the app, look at it with:" in told
    assert f"ostinato status w --target azure --url {stand.url}" in told
    assert "Traceback" not in told
    assert not stand.client.get_status("w").runtime_status.is_finished


# --- an application at hand ---

AT_HAND = """
import ostinato as ost
app = ost.App("client")

@app.orchestration(version="9")
def job(ctx, number: int): yield

@app.orchestration
def jobs(ctx): yield
"""


def test_an_application_at_hand_checks_the_input_and_nothing_is_started(stand: Stand):
    Path("at_hand.py").write_text(AT_HAND)
    assert refused(do("run", "job", "--input", '"one"'), "input of orchestration 'job'", "int")
    assert stand.client.list_instances().instances == []
    assert do("run", "job", "--input", "2", "--id", "one").stdout == "4\n"
    assert stand.client.get_status("one").version is None  # the deployed app's own choice


def test_what_an_application_at_hand_lacks_is_run_only_when_the_user_is_sure(stand: Stand):
    Path("at_hand.py").write_text(AT_HAND)
    lacks = "the application at hand has no orchestration 'waits'"
    assert refused(do("run", "waits", "--timeout", "0"), lacks, "give --yes")
    assert stand.client.list_instances().instances == []
    result = do("run", "waits", "--timeout", "0", "--yes")
    assert result.exit_code == 4
    assert lacks in result.stderr
    named = do("run", "waits", "--app", "at_hand:app")
    assert refused(named, "there is no orchestration 'waits'")


# --- what is wrong with the target ---


@pytest.mark.parametrize("arguments", [["status", "x"], ["history", "x"], ["purge", "x"]])
def test_an_instance_that_is_not_there_is_named(stand: Stand, arguments: list[str]):
    assert refused(do(*arguments), "error: there is no instance 'x'\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", ""],
        ["history", ".."],
        ["terminate", ""],
        ["purge", "."],
        ["raise-event", "a", ".."],
        ["run", "job", "--id", ".."],
    ],
)
def test_an_id_or_a_name_that_urls_leave_out_is_refused(stand: Stand, arguments: list[str]):
    stand.client.start("waits", instance_id="a")
    assert refused(do(*arguments), "cannot be asked for '")
    assert [s.instance_id for s in stand.client.list_instances().instances] == ["a"]


@pytest.mark.parametrize(("key", "said"), [("wrong", "does not take the key"), ("", "asks for")])
def test_a_key_that_is_refused_is_told_with_where_to_find_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, key: str, said: str
):
    monkeypatch.setenv(KEY_VARIABLE, key)
    for arguments in (["run", "job"], ["list"]):
        result = do(*arguments)
        assert refused(result, said, KEY_VARIABLE, "az functionapp keys list")
        assert not key or f" {key}" not in result.stderr


def test_a_host_that_is_not_reached_is_told_in_a_line(stand: Stand):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = do("status", "x", "--url", url)
    assert refused(result, f"error: {url}/runtime", "Connection refused", "hint: the URL of")
    assert len(result.stderr.splitlines()) == 2


def test_a_name_that_nobody_has_is_told_in_a_line(stand: Stand, monkeypatch: pytest.MonkeyPatch):
    def unknown(*asked: Any, **more: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = do("status", "x", "--url", "https://no-such-app.example")
    assert refused(result, "https://no-such-app.example/", "Name or service not known", "hint:")


class OtherSite(BaseHTTPRequestHandler):
    """Answers everything with a page that says 404."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def test_another_site_is_told_from_an_app_without_the_instance(stand: Stand):
    server = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        for arguments in (["status", "x"], ["run", "job"], ["list"], ["raise-event", "x", "go"]):
            assert refused(do(*arguments, "--url", url), "answered 404 with a web page", url)
    finally:
        server.shutdown()
        server.server_close()


def test_a_url_with_a_path_too_many_is_told_from_an_app_without_the_instance(stand: Stand):
    url = f"{stand.url}/api"
    for arguments in (["status", "x"], ["run", "job"], ["list"], ["raise-event", "x", "go"]):
        result = do(*arguments, "--url", url)
        assert refused(result, f"{url}/runtime", "answered 404: no management API is there")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--target", "azure", "--store", "s.db"], ["--store goes with --target local"]),
        (["--url", "https://app.example"], ["--url goes with --target azure"]),
        (["--target", "azure"], ["needs the app's URL", "--url", URL_VARIABLE]),
        (["--target", "azure", "--url", "app.example"], ["like https://<name>", "'app.example'"]),
        (["--target", "azure", "--url", "https://[a"], ["like https://<name>"]),
        (["--target", "azure", "--url", "https://a:b"], ["'https://a:b/", "Invalid port"]),
        (["--target", "azure", "--url", f"https://a?CODE={KEY}"], ["has the key", KEY_VARIABLE]),
        (["--target", "aws"], ["--target"]),
    ],
)
@pytest.mark.parametrize("command", [["run", "job"], ["history", "x"], ["list"]])
def test_a_target_that_is_none_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    arguments: list[str],
    parts: list[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    result = CliRunner().invoke(cli, [*command, *arguments])
    assert refused(result, *parts)
    assert KEY not in result.stderr


def test_a_url_in_the_environment_changes_nothing_of_what_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    hint = f"hint: --target azure asks the function app that {URL_VARIABLE} names"
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    plain = CliRunner().invoke(cli, ["list"])
    assert refused(plain, "there is no file ostinato.db") and "hint" not in plain.stderr
    monkeypatch.setenv(URL_VARIABLE, "https://app.example")
    assert refused(CliRunner().invoke(cli, ["list"]), "there is no file ostinato.db", hint)
    with ost.local.LocalHost(application(), store="ostinato.db"):
        pass
    lacks = CliRunner().invoke(cli, ["status", "x"])
    assert refused(lacks, "there is no instance 'x'", hint)


# --- an app that stops answering ---


NOW = "2026-01-01T00:00:00Z"
RUNNING = {
    "name": "job",
    "instanceId": "one",
    "runtimeStatus": "Running",
    "createdTime": NOW,
    "lastUpdatedTime": NOW,
}


class Silence:
    """An app that answers a number of requests, and then no more, or with a fault."""

    def __init__(self, answers: int, *, fault: int = 0, takes: float = 0.0) -> None:
        self.left = answers
        self.status = "Running"
        self.now = 0.0
        self.pauses: list[float] = []
        self.given: list[float] = []
        """Seconds that each request had."""
        self._fault = fault
        self._takes = takes
        self.client = AzureClient(
            "https://app.example", key=KEY, transport=httpx.MockTransport(self._answer)
        )
        self.host = Deployed(self.client, pause=self._pause, clock=lambda: self.now)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.given.append(request.extensions["timeout"]["read"])
        if self.left:
            self.left -= 1
            return httpx.Response(202, json={**RUNNING, "runtimeStatus": self.status})
        self.now += self._takes
        if self._fault:
            return httpx.Response(self._fault, json={"Message": "Something went wrong"})
        raise httpx.ReadTimeout("slow")

    def follow(self, timeout: float | None = None) -> Outcome:
        """Follow an instance that goes on."""
        target = AzureTarget("https://app.example")
        request = Run(app=None, orchestration="job", target=target, timeout=timeout)
        with closing(self.client):
            return follow(self.host, "one", request, Quiet(Console(file=StringIO())))


@pytest.mark.parametrize(
    ("fault", "said"), [(0, "did not answer: ReadTimeout slow"), (500, "answered 500: .*wrong")]
)
def test_an_app_that_stops_answering_is_asked_again_for_a_while_and_the_reason_is_kept(
    fault: int, said: str
):
    app = Silence(answers=4, fault=fault)
    result = app.follow()
    assert (result.code, result.status, result.instance_id) == (ExitCode.TIMEOUT, None, "one")
    assert re.search(said, str(result.trouble))
    assert hosting.PATIENCE <= app.now <= hosting.PATIENCE + 10
    assert len(app.pauses) > 30


def test_an_app_that_leaves_every_request_hanging_is_asked_for_no_longer():
    app = Silence(answers=4, takes=60.0)
    assert app.follow().code is ExitCode.TIMEOUT
    assert len(app.given) == 4 + 2
    assert max(app.pauses) <= hosting.LONGEST_PAUSE


def test_an_app_that_hangs_is_given_no_more_than_the_time_left():
    app = Silence(answers=1)
    app.status = "Completed"
    with closing(app.client):
        assert app.host.look("one", 5.0) is None  # it ended, and its output is not told
        app.now += 3.0
        app.host.progress("one")
        app.host.look("one", None)
    assert all(2.0 < given <= 5.0 for given in app.given[:2])
    assert app.given[2] <= 2.0
    assert app.given[3] == 60.0


def test_no_pause_is_longer_than_the_time_left(monkeypatch: pytest.MonkeyPatch):
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"ostinato.cli.hosting.{name}", 1e6)
    app = Silence(answers=2)
    app.follow(timeout=1000.0)
    assert 0 < max(app.pauses) <= 1000


def test_what_is_the_matter_is_shown_until_the_app_answers_again():
    app = Silence(answers=0)
    with closing(app.client):
        assert app.host.look("one", None) is None
        assert "ReadTimeout" in str(app.host.trouble)
        app.left = 1
        assert app.host.look("one", None) is None
        assert app.host.trouble is None


class Faulty(BaseHTTPRequestHandler):
    """Takes a start and tells of the instance once, then all that comes is refused."""

    starts = 202
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self._answer(202 if self.asked == 1 else 401)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.starts)

    def _answer(self, status: int) -> None:
        body = json.dumps(RUNNING).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.mark.parametrize(
    ("starts", "parts"),
    [(202, ["does not take the key", "the instance is "]), (500, ["as instance '"])],
)
def test_what_ends_a_run_after_its_start_tells_the_id(stand: Stand, starts: int, parts: list[str]):
    handler = type("Handler", (Faulty,), {"starts": starts})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = do("run", "job", "--json", "--url", url)
        server.shutdown()
    assert refused(result, *parts)
    assert re.search("instance (is )?'?[0-9a-f]{32}", result.stderr)
