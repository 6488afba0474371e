"""The offline replayer: holds today's code against recorded histories.

Record a history with ``ostinato history ID --json`` or `Client.get_history`, keep it beside
the tests, and a change that would break running instances fails the build instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from ostinato import events as ev
from ostinato.actions import Completed, Failed, Terminated
from ostinato.app import App
from ostinato.errors import NonDeterminismError
from ostinato.events import Event
from ostinato.replay import Orchestration, rewound_positions


def replay_history(app: App, history: Sequence[Event]) -> None:
    """Replay a history, finished or not, and compare everything, inputs and outputs included.

    Raises:
        NonDeterminismError: The code does not repeat the history.
        ValueError: The history lacks what a replay needs, as one that Azure tells does.
    """
    begun = next((event for event in history if isinstance(event, ev.ExecutionStarted)), None)
    has_turns = any(isinstance(event, ev.OrchestratorStarted) for event in history)
    if begun is not None and not (begun.execution_id or has_turns):
        raise ValueError(
            f"the history of {begun.instance_id!r} has no ids, turns and inputs, since it was "
            "asked of Azure, which tells none: record one on the local engine (docs/versioning.md)"
        )
    orchestration = Orchestration(app.registry, exact=True)
    orchestration.replay(history)
    outcome = orchestration.outcome
    orchestration.close()
    if isinstance(outcome, Failed) and outcome.failure.type in (
        "NonDeterminismError",
        "TooManyTasksError",
        "UnknownNameError",
    ):
        raise NonDeterminismError(outcome.failure.message)
    recorded = _end(history)
    if recorded is None:
        return
    found = _shown(outcome)
    if found != (recorded.status, recorded.result, recorded.failure and recorded.failure.type):
        raise NonDeterminismError(
            f"{orchestration.name!r} ended as {recorded.status} with {recorded.result or ''}"
            f"{recorded.failure.type if recorded.failure else ''} in the history, but the code "
            f"now {'goes on' if outcome is None else f'ends with {outcome}'}"
        )


def _end(history: Sequence[Event]) -> ev.ExecutionCompleted | None:
    gone = rewound_positions(history)
    ends = (e for p, e in enumerate(history) if p not in gone)
    return next((e for e in ends if isinstance(e, ev.ExecutionCompleted)), None)


def _shown(outcome: object) -> tuple[str, str | None, str | None] | None:
    match outcome:
        case Completed(output):
            return "Completed", output, None
        case Failed(failure):
            return "Failed", None, failure.type
        case Terminated():
            return "Terminated", None, "Terminated"
        case _:
            return None
