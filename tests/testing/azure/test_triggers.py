"""Triggers that are asked to look, again and again."""

from __future__ import annotations

import threading

from ostinato.testing.azure.triggers import Poller


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
