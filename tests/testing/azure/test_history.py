from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from ostinato.testing.azure import events as e
from ostinato.testing.azure.dotnet import time_of, time_text
from ostinato.testing.azure.history import History, request_text
from ostinato.testing.clock import START
from tests.testing.azure.recorded import SCENARIOS, recording

TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")


def in_microseconds(request: Any) -> str:
    """JSON in the order of its keys, times cut to what Python's hold."""
    return TIME.sub(lambda found: time_text(time_of(found[0])), json.dumps(request))


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_recorded_request_is_written_as_the_extension_wrote_it(name: str):
    recorded = recording(name)
    histories: dict[str, History] = {}
    for call in recorded.calls:
        events = call.history
        if call.execution not in histories:
            # What a turn before has played: events that continue-as-new carried over.
            carried = [
                event
                for event, sent in zip(events, call.request["history"], strict=True)
                if isinstance(event, e.EventRaised) and sent["IsPlayed"]
            ]
            histories[call.execution] = History(events, played=carried)
        else:
            history = histories[call.execution]
            added = events[len(history.events) :]
            turn = next(
                index for index, x in enumerate(added) if isinstance(x, e.OrchestratorStarted)
            )
            history.append(*added[:turn])
            history.begin_turn()
            history.append(*added[turn:])
        text = request_text(
            histories[call.execution],
            long_timer_interval=timedelta(
                seconds=recorded.options["longRunningTimerIntervalSeconds"]
            ),
            maximum_short_timer=timedelta(seconds=recorded.options["maximumDelaySeconds"]),
        )
        histories[call.execution].end_turn()
        assert in_microseconds(json.loads(text)) == in_microseconds(call.request)


def test_spans_of_days_are_written_as_dotnet_writes_them():
    started = e.ExecutionStarted(
        timestamp=START, instance_id="i", execution_id="x", name="o", input=None
    )
    request = json.loads(
        request_text(
            History([e.OrchestratorStarted(timestamp=START), started]),
            long_timer_interval=timedelta(days=3),
            maximum_short_timer=timedelta(days=6),
        )
    )
    assert request["longRunningTimerIntervalDuration"] == "3.00:00:00"
    assert request["maximumShortTimerDuration"] == "6.00:00:00"


@pytest.mark.parametrize(
    ("stored", "handed"),
    [(None, None), ('{"a": 1}', {"a": 1}), ("[1, 2]", [1, 2]), ("plain text", "plain text")],
)
def test_the_input_is_handed_as_json_and_text_that_is_none_as_text(stored: str | None, handed: Any):
    started = e.ExecutionStarted(
        timestamp=START, instance_id="i", execution_id="x", name="o", input=stored
    )
    text = request_text(
        History([started]),
        long_timer_interval=timedelta(days=3),
        maximum_short_timer=timedelta(days=6),
    )
    assert json.loads(text)["input"] == handed


def test_an_execution_that_has_not_begun_has_no_first_event():
    with pytest.raises(LookupError, match="has not begun"):
        _ = History([e.OrchestratorStarted(timestamp=START)]).started
