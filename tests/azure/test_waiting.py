"""Bounded maps and operations on one target wait for one another."""

from __future__ import annotations

from ostinato.actions import ScheduleTask
from ostinato_azure.entries import Entry, Kind
from ostinato_azure.waiting import Chains, Groups


def item(core_id: int, *, bound: int = 2) -> Entry:
    action = ScheduleTask(task_id=core_id, name="work", input="null", group=0, bound=bound)
    return Entry(Kind.ACTIVITY, action=action, core_id=core_id, group=0)


def operation(target: str, name: str, *, is_check: bool = False) -> Entry:
    return Entry(Kind.CLIENT, instance_id=target, text=name, is_check=is_check)


def test_a_group_admits_as_many_as_its_bound_and_the_next_when_one_has_ended() -> None:
    groups = Groups()
    for core_id in range(4):
        groups.add(0, item(core_id))
    assert [entry.core_id for entry in groups.admitted()] == [0, 1]
    assert list(groups.admitted()) == []
    groups.ended(0)
    assert [entry.core_id for entry in groups.admitted()] == [2]


def test_groups_have_places_of_their_own() -> None:
    groups = Groups()
    for group in (0, 1):
        for core_id in range(2):
            groups.add(group, item(2 * group + core_id, bound=1))
    assert [entry.core_id for entry in groups.admitted()] == [0, 2]


def test_what_waits_in_a_group_can_be_forgotten() -> None:
    groups = Groups()
    groups.add(0, item(0))
    groups.clear()
    assert list(groups.admitted()) == []


def test_operations_on_one_target_take_turns_and_others_do_not_wait_for_them() -> None:
    chains = Chains()
    first, second, other = operation("a", "1"), operation("a", "2"), operation("b", "3")
    assert chains.add(first) and not chains.add(second) and chains.add(other)
    assert chains.next("a") is second
    assert chains.next("a") is None
    assert chains.add(operation("a", "4"))


def test_questions_that_wait_can_be_forgotten() -> None:
    chains = Chains()
    chains.add(operation("a", "1"))
    chains.add(operation("a", "2", is_check=True))
    third = operation("a", "3")
    chains.add(third)
    chains.drop_checks()
    assert chains.next("a") is third
