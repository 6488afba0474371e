"""How generations begin: with which version, and with what the one before left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import ostinato as ost
from ostinato import events as ev
from ostinato.actions import ContinuedAsNew
from ostinato.definitions import UNVERSIONED
from ostinato_azure import envelope
from ostinato_azure.generation import GONE, begin, continuation
from ostinato_azure.markers import marker_due, version_due

AT = datetime(2026, 3, 1, tzinfo=UTC)


def application(*versions: str | None) -> ost.App:
    app = ost.App("generations")
    for version in versions:

        @app.orchestration(name="flow", version=version)
        def flow(ctx: ost.OrchestrationContext):
            yield ctx.wait_for_external_event("e")

        _ = flow
    return app


def started(text: str, *, stamp: str | None = None) -> ev.ExecutionStarted:
    return ev.ExecutionStarted(
        at=AT, instance_id="i", execution_id="x", name="flow", input=text, version=stamp
    )


def told(version: str | None) -> str:
    return envelope.written(msgspec.structs.replace(envelope.plain("1"), version=version))


@pytest.mark.parametrize(
    ("text", "stamp", "markers", "version"),
    [
        pytest.param(told("1"), "2", {version_due("2")}, "1", id="by the payload"),
        pytest.param("1", "2", {version_due("1")}, "2", id="by the host's stamp"),
        pytest.param("1", None, {version_due("1")}, "1", id="by the marker"),
        pytest.param("1", None, {version_due("0")}, GONE, id="by the marker of one that is gone"),
        pytest.param("1", None, {marker_due("patch:x")}, None, id="by none: the newest"),
    ],
)
def test_the_version_is_told_by_the_first_that_knows(
    text: str, stamp: str | None, markers: set[datetime], version: str | None
):
    registry = application("1", "2").registry
    assert begin(started(text, stamp=stamp), registry, markers).version == version


def test_an_orchestration_without_versions_stays_without_whatever_the_host_stamps():
    registry = application(None).registry
    assert begin(started("1", stamp="7"), registry, set()).version == UNVERSIONED


def test_what_continues_as_new_begins_with_all_that_was_left():
    registry = application("1").registry
    event = ev.EventRaised(at=AT, name="e", data="2", event_id="click")
    outcome = ContinuedAsNew(
        input='{"n": 1}',
        events=(event,),
        event_ids=("seen",),
        custom_status='"half"',
        version="1",
    )
    text = continuation("flow", outcome, registry, {"team": "data"})
    next_one = begin(started(text), registry, set())
    assert (next_one.input, next_one.version) == ('{"n": 1}', "1")
    assert (next_one.tags, next_one.custom_status) == ({"team": "data"}, '"half"')
    assert next_one.event_ids == ("seen",)
    assert [(e.name, e.data, e.event_id) for e in next_one.events] == [("e", "2", "click")]


def test_no_version_is_told_on_where_there_are_none():
    outcome = ContinuedAsNew(
        input="1", events=(), event_ids=(), custom_status=None, version=UNVERSIONED
    )
    for versions, carried in (((None,), None), (("1",), UNVERSIONED)):
        text = continuation("flow", outcome, application(*versions).registry, None)
        payload: Any = envelope.read(text)
        assert payload.version == carried
