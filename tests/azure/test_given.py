"""What activities and children are given on Azure."""

from __future__ import annotations

import pytest

import ostinato as ost
from ostinato.actions import CreateSubOrchestration, ScheduleTask
from ostinato_azure import envelope
from ostinato_azure.given import activity_payload, child_payload

app = ost.App("given")
app.foreign_orchestration("theirs")


@app.orchestration(version="1")
def old(ctx: ost.OrchestrationContext):
    yield ctx.wait_for_external_event("e")


app.orchestration(name="old", version="2")(old)


@pytest.mark.parametrize(("first_id", "attempt"), [(None, 1), (3, 2)])
def test_an_activity_is_told_which_attempt_of_what_it_is(first_id: int | None, attempt: int):
    action = ScheduleTask(
        task_id=7, name="work", input='{"a":1}', first_id=first_id, attempt=attempt, timeout=9.0
    )
    payload = envelope.read(activity_payload(action, "i", "x"))
    assert payload.text == '{"a":1}'
    assert payload.call == envelope.Call(
        instance_id="i",
        execution_id="x",
        task_id=7,
        first_id=7 if first_id is None else first_id,
        attempt=attempt,
        timeout=9.0,
    )


def child(name: str, version: str | None = None) -> CreateSubOrchestration:
    return CreateSubOrchestration(
        task_id=0, name=name, instance_id="c", input='"in"', version=version
    )


@pytest.mark.parametrize(("asked", "told"), [(None, "2"), ("1", "1")])
def test_a_child_of_ours_is_told_its_version(asked: str | None, told: str):
    payload = envelope.read(child_payload(child("old", asked), app.registry))
    assert (payload.text, payload.version) == ('"in"', told)


@pytest.mark.parametrize("name", ["theirs", "nobody"])
def test_a_child_of_others_is_given_its_input_and_nothing_else(name: str):
    assert child_payload(child(name), app.registry) == '"in"'
