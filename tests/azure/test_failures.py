"""Failures as text: all of them comes back, whatever stands around it."""

from __future__ import annotations

import pytest

from ostinato.failures import Failure, failure_of
from ostinato_azure.failures import (
    ending,
    failure_details,
    failure_from_details,
    failure_text,
    summary,
    told_to_rewind,
)


def failure(message: str) -> Failure:
    try:
        raise ValueError(message)
    except ValueError as error:
        return failure_of(error, task="t", attempt=2)


@pytest.mark.parametrize("message", ["plain", "two\nlines\nStack: x", "}{ $ostinato{", "é" * 500])
def test_a_failure_crosses_as_one_line_of_text(message: str) -> None:
    one = failure(message)
    text = failure_text(one)
    assert "\n" not in text
    for reason in (f"Activity 'x' failed:  Error: {text}", f"(Failure {text} and }} more)"):
        assert failure_from_details(None, reason, "k") == one


def test_a_failure_crosses_in_structured_details() -> None:
    one = failure("m")
    assert failure_from_details(failure_details(one), "reason", "k") == one


@pytest.mark.parametrize("text", ["reason", 'cut $ostinato{"type": "V', " $ostinato{}", None])
def test_what_carries_none_of_our_structure_is_of_the_given_kind(text: str | None) -> None:
    found = failure_from_details({"Properties": None}, text, "ActivityError", "x", 3)
    assert (found.type, found.task, found.attempt) == ("ActivityError", "x", 3)
    assert found.message == (text or "")


@pytest.mark.parametrize("mark", ["$OutOfProcData$", "$ostinato{"])
def test_the_line_for_people_holds_nothing_that_the_extension_or_we_look_for(mark: str) -> None:
    within = mark[:5] + mark + mark[5:]
    for message in (f"a {mark}:{{}} b", within, mark + mark[1:], mark * 3):
        assert mark not in summary(failure(message))


@pytest.mark.parametrize("rewinds", [True, False])
def test_what_ended_an_instance_tells_whether_a_rewind_takes_out_no_more(rewinds: bool) -> None:
    told = ending(failure("no"), rewinds=rewinds)
    assert told_to_rewind(failure_details(told), "") is rewinds
    assert told_to_rewind(None, failure_text(told)) is rewinds
    assert failure_from_details(None, failure_text(told), "k") == failure("no")


@pytest.mark.parametrize("text", ["somebody else's", "cut $ostinato{", ""])
def test_of_other_failures_nothing_is_told(text: str) -> None:
    assert told_to_rewind(None, text) is None
    assert told_to_rewind(None, failure_text(failure("no"))) is None
