"""Triggers that are asked to look, again and again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ostinato.testing.azure.deployments import Undeployed
from ostinato.testing.azure.triggers import Calling, Poller
from ostinato.testing.azure.worker import Function, Outcome, Text
from ostinato.testing.azure.worker_bindings import ClientBindings


class Counting:
    """Finds something at every look but the third, which breaks, and tells of the fifth."""

    def __init__(self):
        self.looks = 0
        self.fifth = threading.Event()

    def poll(self):
        self.looks += 1
        if self.looks == 3:
            raise ConnectionError("storage is away")
        if self.looks >= 5:
            self.fifth.set()
            return 0
        return 1


def test_a_trigger_is_asked_again_and_again_even_after_it_broke():
    trigger = Counting()
    log = list[str]()
    poller = Poller([trigger], interval=0.001, log=log.append)
    assert trigger.fifth.wait(10)
    poller.close()
    assert log == ["Counting: ConnectionError: storage is away"]
    looks = trigger.looks
    assert looks >= 5


def test_a_slow_trigger_holds_up_no_other():
    waiting, trigger = threading.Event(), Counting()

    class Slow:
        def poll(self):
            waiting.wait(10)
            return 0

    poller = Poller([Slow(), trigger], interval=0.001, log=lambda line: None)
    assert trigger.fifth.wait(10)
    waiting.set()
    poller.close()


class Closing:
    """A worker that is closed when it is first called, and another deployed in its place."""

    functions = (Function("act", ({"type": "queueTrigger", "name": "old"},)),)

    def __init__(self, replace):
        self.replace = replace

    def invoke(self, invocation):
        self.replace()
        raise Undeployed("the worker is closed")

    def close(self):
        pass


class Giving:
    """Gives what its trigger has, by the name of its parameter."""

    def __init__(self, name):
        self.functions = (Function(name, ({"type": "queueTrigger", "name": "new"},)),)

    def invoke(self, invocation):
        return Outcome(value=invocation.inputs["new"])

    def close(self):
        pass


@pytest.mark.parametrize("name", ["act", "gone"])
def test_a_call_that_a_deployment_ends_is_made_again_as_the_function_is_then(name):
    workers, log = list[Any](), list[str]()
    workers.append(Closing(lambda: workers.append(Giving(name))))
    calling = Calling(
        worker=lambda: workers[-1], bindings=ClientBindings(lambda binding: ""), log=log.append
    )
    (function,) = Closing.functions
    if name == "act":
        assert calling.call(function, Text("data")) == Text("data")
    else:
        assert not calling.succeeds(function, Text("data"), {})
        assert log == ["act failed: there is no function 'act' any more"]
