"""What a rewind would do is told once, when the execution ends."""

from __future__ import annotations

import pytest

from ostinato_azure.rewinding import Failures


def ended(*failed: int, culprits: tuple[int, ...], asks_more: bool = False) -> Failures:
    failures = Failures()
    for core_id in failed:
        failures.note(core_id, 5)
    failures.decide(culprits, 5, asks_more=asks_more)
    return failures


@pytest.mark.parametrize("failed", [(), (1,), (1, 3)])
def test_it_serves_where_what_failed_is_what_ended_it(failed: tuple[int, ...]) -> None:
    assert ended(*failed, culprits=failed).rewinds


def test_it_serves_an_orchestrators_own_mistake() -> None:
    assert ended(culprits=(), asks_more=True).rewinds


def test_it_does_not_where_a_failure_was_handled() -> None:
    assert not ended(1, 3, culprits=(3,)).rewinds


def test_it_does_not_where_more_was_asked_for_after_a_failure() -> None:
    assert not ended(1, culprits=(1,), asks_more=True).rewinds
    failures = Failures()
    failures.note(1, 4)
    failures.decide((1,), 5, asks_more=False)
    assert not failures.rewinds


def test_it_does_not_where_something_else_failed() -> None:
    failures = Failures()
    failures.note_other()
    failures.decide((), 5, asks_more=False)
    assert not failures.rewinds


def test_what_fails_after_the_end_changes_nothing() -> None:
    failures = ended(1, culprits=(1,))
    failures.note(2, 6)
    failures.note_other()
    failures.decide((1,), 6, asks_more=True)
    assert failures.rewinds


def test_before_the_end_it_is_not_told() -> None:
    assert not Failures().rewinds
