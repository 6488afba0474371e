"""The stand-in of the Functions host, where one deployment follows another."""

from __future__ import annotations

import gc
import threading
import weakref

import azure.functions as func

from ostinato.testing import ManualClock
from ostinato.testing.azure.functions_host import FunctionsHost
from ostinato.testing.azure.worker_direct import DirectWorker


class Gated:
    """An app whose timer runs until it is let go on."""

    def __init__(self):
        self.entered, self.gate = threading.Event(), threading.Event()
        self.app = func.FunctionApp()
        self.app.timer_trigger("timer", "0 0 * * * *")(self.tick)

    def tick(self, timer: func.TimerRequest) -> None:
        self.entered.set()
        assert self.gate.wait(30)


def test_the_triggers_of_a_retired_deployment_are_let_go_once_its_calls_have_ended():
    clock, gated = ManualClock(), Gated()
    with FunctionsHost(DirectWorker(gated.app), clock=clock) as host:
        before = weakref.ref(host._served.triggers)
        host.start_polling(0.001)
        clock.advance(3600)
        assert gated.entered.wait(30)
        host.deploy(DirectWorker(func.FunctionApp()))
        (retiring,) = [t for t in threading.enumerate() if t.name == "functions-retired"]
        assert before() is not None
        gated.gate.set()
        retiring.join(30)
        gc.collect()
        assert before() is None
