from __future__ import annotations

import sys

import pytest

from ostinato.definitions import Registry
from ostinato.events import EventRaised
from ostinato.execution import EVENT_IDS_KEPT, Execution, Site
from tests.histories import raised


class Waiting:
    """Takes what comes."""

    def __init__(self) -> None:
        self.taken: list[EventRaised] = []

    def take(self, event: EventRaised) -> None:
        self.taken.append(event)


@pytest.fixture
def execution() -> Execution:
    return Execution(Registry())


def test_task_ids_count_up_from_0(execution: Execution):
    assert [execution.take_id() for _ in range(3)] == [0, 1, 2]


def test_the_first_reason_to_refuse_stands(execution: Execution):
    execution.take_id()
    execution.refuse("UnknownNameError", "first")
    execution.take_id()
    execution.refuse("UnsupportedError", "second")
    assert execution.fatal is not None
    assert (execution.fatal.type, execution.fatal.message) == ("UnknownNameError", "first")
    assert execution.fatal.bases == ("ostinato.errors.UnknownNameError",)
    assert execution.refused_at == 1


def test_an_unknown_name_is_shown_with_the_known_ones_and_the_mend(execution: Execution):
    execution.refuse_name("activity", "report", ["size", "fetch"])
    assert execution.fatal is not None
    assert execution.fatal.type == "UnknownNameError"
    assert "activity 'report' is not in the application" in execution.fatal.message
    assert "fetch, size" in execution.fatal.message
    assert "declare it with app.foreign_activity('report')" in execution.fatal.message
    assert execution.fatal.message.endswith("then rewind")


def test_a_name_that_is_nearly_right_is_shown_with_the_one_that_was_meant(execution: Execution):
    execution.refuse_name("activity", "sise", ["size", "fetch"], sys._getframe())
    assert execution.fatal is not None
    assert "did you mean 'size'?" in execution.fatal.message
    assert f"{__file__}:" in execution.fatal.message


def test_an_unknown_function_is_shown_by_its_name(execution: Execution):
    execution.refuse_name("orchestration", test_task_ids_count_up_from_0, [])
    assert execution.fatal is not None
    assert "'test_task_ids_count_up_from_0' is not in the application" in execution.fatal.message


def test_a_function_that_is_not_the_one_of_its_name_is_not_told_to_be_called_as_it_is(
    execution: Execution,
):
    def size() -> None: ...

    execution.refuse_name("activity", size, ["size", "fetch"], sys._getframe())
    assert execution.fatal is not None
    assert execution.fatal.type == "UnknownNameError"
    message = execution.fatal.message
    assert message.startswith(
        f"the function given is not the one that is registered as 'size' (asked for at {__file__}:"
    )
    assert "call it by its name" in message and "app.replacing(" in message
    assert "did you mean" not in message and "not in the application" not in message
    assert message.endswith("then rewind")


# External events


def test_events_that_no_one_waits_for_are_kept_in_order_of_arrival(execution: Execution):
    events = [raised("b", 1), raised("a", 2), raised("b", 3)]
    for event in events:
        execution.raise_event(event)
    assert execution.unread() == tuple(events)


def test_the_newest_waiter_takes_the_next_event(execution: Execution):
    older, newer = Waiting(), Waiting()
    execution.waiters["go"] = [older, newer]
    execution.raise_event(raised("go", 1))
    execution.raise_event(raised("go", 2))
    execution.raise_event(raised("go", 3))
    assert newer.taken == [raised("go", 1)]
    assert older.taken == [raised("go", 2)]
    assert execution.unread() == (raised("go", 3),)


def test_a_waiter_takes_events_of_its_own_name_only(execution: Execution):
    waiting = Waiting()
    execution.waiters["go"] = [waiting]
    execution.raise_event(raised("Go"))
    assert waiting.taken == []
    assert execution.unread() == (raised("Go"),)


def test_an_event_id_is_taken_once(execution: Execution):
    execution.raise_event(raised("go", 1, "x"))
    execution.raise_event(raised("go", 2, "x"))
    execution.raise_event(raised("other", 3, "x"))
    execution.raise_event(raised("go", 4))
    execution.raise_event(raised("go", 4))
    assert execution.unread() == (raised("go", 1, "x"), raised("go", 4), raised("go", 4))


def test_the_newest_thousand_event_ids_are_remembered(execution: Execution):
    for number in range(EVENT_IDS_KEPT + 5):
        execution.raise_event(raised("go", None, str(number)))
    remembered = execution.remembered_ids()
    assert EVENT_IDS_KEPT == len(remembered) == 1000
    assert (remembered[0], remembered[-1]) == ("5", "1004")


# What is left when it is given up


def test_a_corpse_knows_who_it_was_and_takes_nothing_with_it(execution: Execution):
    execution.instance_id, execution.execution_id, execution.name = "i", "e", "flow"
    execution.custom_status = '"half"'
    corpse = execution.corpse()
    assert (corpse.instance_id, corpse.execution_id, corpse.name) == ("i", "e", "flow")
    assert (corpse.custom_status, corpse.clock) == ('"half"', execution.clock)
    assert corpse.dead
    corpse.take_id()
    corpse.refuse("UnknownNameError", "no")
    corpse.raise_event(raised("go"))
    assert (execution.next_id, execution.fatal, execution.unread()) == (0, None, ())
    assert corpse.fatal is None


# Places in the source


def test_a_site_is_shown_as_file_and_line():
    frame = sys._getframe()
    site = Site(frame.f_code, frame.f_lasti)
    assert str(site) == f"{__file__}:{frame.f_lineno - 1}"


def test_a_site_without_a_line_is_shown_as_the_functions_first():
    code = sys._getframe().f_code
    assert str(Site(code, 10**6)) == f"{__file__}:{code.co_firstlineno}"
