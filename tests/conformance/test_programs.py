"""Generated programs, and what happens to them meanwhile, go the same on every host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeAlias, assert_never
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato.local.memory import MemoryStore
from ostinato.testing.azure.http_server import HttpServer

from .azure_host import AzureHost
from .direct import DirectApps
from .harness import delays, scheduling
from .hosts import FINISHES_IN, EmbeddedHost
from .model import Advance, ConformanceHost, Deploy, RaiseEvent, Resume, Suspend, Terminate
from .programs import EVENTS, FIRST_KID, PROGRAMS, SIZES, Step, Walk, app, text_of

Happening: TypeAlias = RaiseEvent | Advance | Suspend | Resume | Deploy | Terminate
Script: TypeAlias = Sequence[Happening]
Program: TypeAlias = tuple[Step, ...]

texts = st.sampled_from([text_of(size) for size in SIZES])
event_ids = st.none() | st.sampled_from(["once", "twice"])
scripts: st.SearchStrategy[list[Happening]] = st.lists(
    st.one_of(
        st.builds(RaiseEvent, st.sampled_from(EVENTS), texts, event_ids),
        st.builds(RaiseEvent, st.sampled_from(EVENTS), st.none()),
        st.builds(RaiseEvent, st.sampled_from(EVENTS), texts, event_ids, st.just(FIRST_KID)),
        st.builds(Advance, st.integers(1, 300)),
        st.builds(Advance, st.integers(1, 300)),
        st.builds(Suspend),
        st.builds(Resume),
        st.builds(Deploy, st.just(app)),
        st.builds(Terminate, st.just("enough")),
    ),
    max_size=8,
)


def told(host: ConformanceHost, program: Program, script: Script) -> list[str]:
    """Play a program on a host and return all that its users can see, as it comes."""
    instance_id = f"program-{uuid4().hex[:12]}"
    host.deploy(app)
    host.client.start("walk", Walk(program), instance_id=instance_id)
    seen = (text.replace(instance_id, "ID") for text in _seen(host, instance_id, script))
    return [text for text, _ in itertools.groupby(seen)]  # hosts may split a timer in hops


def _seen(host: ConformanceHost, instance_id: str, script: Script) -> Iterator[str]:
    for happening in script:
        yield _state(host, instance_id)
        try:
            _take(host, instance_id, happening)
        except ost.OstinatoError as error:
            yield f"refused with {type(error).__name__}"
    for _ in range(FINISHES_IN):
        yield _state(host, instance_id)
        status = host.client.get_status(instance_id).runtime_status
        if status.is_finished or not host.advance_to_next():
            break
    history = host.client.get_history(instance_id)
    yield ", ".join(scheduling(history))
    yield f"timers of {list(delays(history))} seconds"


def _state(host: ConformanceHost, instance_id: str) -> str:
    host.settle()
    status = host.client.get_status(instance_id)
    failure = status.failure and f"{status.failure.type}: {status.failure.message}"
    return f"{status.runtime_status.value} {status.custom_status} {status.output} {failure}"


def _take(host: ConformanceHost, instance_id: str, happening: Happening) -> None:
    client = host.client
    match happening:
        case RaiseEvent(name, data, event_id, to):
            client.raise_event(instance_id + to, name, data, event_id=event_id)
        case Advance():
            host.advance(happening.delta)
        case Suspend(reason):
            client.suspend(instance_id, reason)
        case Resume(reason):
            client.resume(instance_id, reason)
        case Deploy(deployed):
            host.deploy(deployed)
        case Terminate(reason):
            client.terminate(instance_id, reason)
        case _:
            assert_never(happening)


def on_memory(program: Program, script: Script) -> list[str]:
    store = MemoryStore()
    with closing(EmbeddedHost(lambda: store)) as host:
        return told(host, program, script)


AzureTelling: TypeAlias = Callable[[Program, Script, Sequence[bool]], list[str]]


@pytest.fixture(scope="session")
def on_azure(direct_apps: DirectApps, server: HttpServer) -> AzureTelling:
    """Plays a program on the stand-in of Azure's hosts, each deployment on the next of the wires:
    Durable Task where it is ``True``."""

    def play(program: Program, script: Script, wires: Sequence[bool]) -> list[str]:
        wire = itertools.cycle(wires)

        def worker_of(app: ost.App, *, fresh: bool):
            return direct_apps.worker(app, grpc=next(wire), fresh=fresh)

        with closing(AzureHost(worker_of, server)) as host:
            return told(host, program, script)

    return play


@pytest.mark.parametrize(
    "wires",
    [[False], [True], [False, True], [True, False]],
    ids=["classic", "durabletask", "classic then durabletask", "durabletask then classic"],
)
@settings(deadline=None, max_examples=50)
@given(program=PROGRAMS, script=scripts)
def test_azure_tells_the_same_as_the_embedded_engine(
    on_azure: AzureTelling, wires: list[bool], program: Program, script: list[Happening]
):
    assert on_azure(program, script, wires) == on_memory(program, script)
