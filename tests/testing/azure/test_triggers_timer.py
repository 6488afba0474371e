"""Timer triggers by a clock moved by hand."""

from __future__ import annotations

import azure.functions as func
import azure.functions.timer
import pytest
from azure.core.exceptions import ServiceRequestError

from ostinato.testing import ManualClock
from ostinato.testing.azure.ncrontab import Schedule
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.triggers_timer import Timer
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def calls():
    return []


@pytest.fixture
def make(clock, calls):
    workers = []

    def start(failure=None, **options):
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", **options)
        def tick(timer: azure.functions.timer.TimerRequest):
            calls.append((timer.past_due, timer.schedule_status))
            if failure is not None:
                raise failure

        workers.append(DirectWorker(app))
        (function,) = workers[-1].functions
        client = ClientBindings(lambda binding: "client")
        calling = Calling(worker=lambda: workers[-1], bindings=client, log=calls.append)
        return Timer(function, Schedule.parse(function.trigger["schedule"]), clock, calling)

    yield start
    for worker in workers:
        worker.close()


def test_it_calls_when_it_is_due_and_tells_when_it_will_be_again(make, clock, calls):
    timer = make()
    assert timer.poll() == 0
    clock.advance(299)
    assert timer.poll() == 0
    clock.advance(1)
    assert [timer.poll(), timer.poll()] == [1, 0]
    clock.advance(300)
    assert timer.poll() == 1
    (first, first_status), (second, second_status) = calls
    assert not first and not second
    assert first_status["Next"] == "2026-01-01T00:10:00+00:00"
    assert second_status["Last"] == "2026-01-01T00:05:00+00:00"


def test_times_slept_through_are_one_call_that_says_so(make, clock, calls):
    timer = make()
    clock.advance(3600)
    assert [timer.poll(), timer.poll()] == [1, 0]
    assert calls[0][0] is True


def test_it_calls_at_the_start_when_asked_to(make, calls):
    assert make(run_on_startup=True).poll() == 1
    assert calls[0][0] is False


def test_a_call_that_fails_is_one_line_and_the_next_one_comes_in_its_time(make, clock, calls):
    timer = make(failure=ServiceRequestError("storage is away\nfor a while"))
    clock.advance(300)
    assert [timer.poll(), timer.poll()] == [1, 0]
    assert calls[1] == "tick failed: ServiceRequestError: storage is away for a while"
    clock.advance(300)
    assert timer.poll() == 1
