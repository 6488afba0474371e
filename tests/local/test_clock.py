from __future__ import annotations

import time
from datetime import UTC, timedelta

import pytest

from ostinato.local.clock import SystemClock


class Machine:
    """The machine's clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 1_800_000_000.0
        self.monotonic = 50.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic)

    def pass_seconds(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_the_time_is_the_machines_in_utc(machine: Machine):
    clock = SystemClock()
    machine.pass_seconds(5)
    assert clock.now().timestamp() == 1_800_000_005.0
    assert clock.now().tzinfo is UTC


def test_a_clock_that_is_set_forward_is_followed(machine: Machine):
    clock = SystemClock()
    machine.wall += 3600
    assert clock.now().timestamp() == 1_800_003_600.0


def test_when_the_machine_is_set_back_time_goes_on_at_its_pace(machine: Machine):
    clock = SystemClock()
    before = clock.now()
    machine.wall -= 3600
    assert clock.now() == before
    machine.pass_seconds(10)
    assert clock.now() == before + timedelta(seconds=10)
    machine.pass_seconds(3700)
    assert clock.now() == before + timedelta(seconds=3710)


def test_the_machines_clock_counts_again_once_it_has_caught_up(machine: Machine):
    clock = SystemClock()
    machine.wall -= 60
    machine.pass_seconds(1)
    clock.now()
    machine.wall += 120
    assert clock.now().timestamp() == 1_800_000_061.0


def test_the_way_to_a_time_is_never_negative(machine: Machine):
    clock = SystemClock()
    now = clock.now()
    assert clock.seconds_until(now + timedelta(seconds=90)) == 90.0
    assert clock.seconds_until(now - timedelta(seconds=90)) == 0.0


def test_nobody_moves_this_clock_by_hand():
    SystemClock().subscribe(lambda: pytest.fail("it was moved"))
