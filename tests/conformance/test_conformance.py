"""Every case on every host: outcome, output, failure type and custom status are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from uuid import uuid4

import msgspec
import pytest

from ostinato import events as ev
from ostinato.actions import scheduling_event
from ostinato.events import Event
from ostinato.replay import Orchestration

from .azure_host import DRAINS, drained
from .cases import CASES
from .conftest import HOSTS
from .differences import DIFFERS, Differs
from .harness import EPOCH, Play
from .hosts import EmbeddedHost
from .model import Case, ConformanceHost, Deploy
from .world import Room


def by_name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_case(
    case: Case, host: ConformanceHost, room: Room, request: pytest.FixtureRequest
) -> None:
    host.deploy(case.app)
    instance_id = f"case-{uuid4().hex[:12]}"
    play = Play(host, room, instance_id)
    name = request.node.callspec.params["host"]
    differs = DIFFERS.get(name, {}).get(case.name)
    with nullcontext() if differs is None else differing(differs):
        play.run(drained(case) if name == "azure" and case.name in DRAINS else case, EPOCH)
    # Azure's histories are not written by the core, and lack its last events.
    if isinstance(host, EmbeddedHost) and not any(isinstance(s, Deploy) for s in case.script):
        check_each_turn_repeats(case, host.client.get_history(instance_id))


@contextmanager
def differing(differs: Differs) -> Generator[None, None, None]:
    """A case must end in this way, or may."""
    try:
        with pytest.raises(differs.error, match=differs.said):
            yield
    except pytest.fail.Exception:  # it ended as elsewhere
        if not differs.by_chance:
            raise


def check_each_turn_repeats(case: Case, history: Sequence[Event]) -> None:
    """From what came before, the core decides in each turn what the history says it did."""
    for past, arrived, recorded in turns(history):
        orchestration = Orchestration(case.app.registry)
        if any(isinstance(event, ev.ExecutionRewound) for event in arrived):
            past, arrived = past + arrived, []
        orchestration.replay(past)
        for event in arrived:
            orchestration.apply(event)
        decided = [
            without_failure(scheduled)
            for action in orchestration.take_actions()
            if (scheduled := scheduling_event(action, EPOCH)) is not None
        ]
        orchestration.close()
        assert decided == recorded


Turn = tuple[list[Event], list[Event], list[Event]]


def turns(history: Sequence[Event]) -> list[Turn]:
    """For each turn what came before it, what arrived in it, and what it then scheduled."""
    found: list[Turn] = []
    for position, event in enumerate(history):
        if isinstance(event, ev.OrchestratorStarted):
            found.append((list(history[:position]), [event], []))
        elif isinstance(event, DECIDED):
            found[-1][2].append(without_failure(msgspec.structs.replace(event, at=EPOCH)))
        else:
            found[-1][1].append(event)
    return found


DECIDED = (
    ev.TaskScheduled,
    ev.TimerCreated,
    ev.SubOrchestrationInstanceCreated,
    ev.EventSent,
    ev.Marker,
    ev.ContinueAsNew,
    ev.ExecutionCompleted,
)


def without_failure(event: Event) -> Event:
    """The event without what differs from run to run: a traceback names this test."""
    if isinstance(event, ev.ExecutionCompleted):
        return msgspec.structs.replace(event, failure=None)
    return event


def test_no_two_cases_have_the_same_name() -> None:
    assert [name for name, count in Counter(map(by_name, CASES)).items() if count > 1] == []


def test_each_difference_is_of_a_host_and_a_case_that_there_are() -> None:
    assert DIFFERS.keys() <= set(HOSTS)
    listed = {name for cases in (*DIFFERS.values(), DRAINS) for name in cases}
    assert listed <= set(map(by_name, CASES))
