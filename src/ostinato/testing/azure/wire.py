"""One call of an orchestration function, on the protocol that its app speaks."""

from __future__ import annotations

from ostinato.testing.azure import passthrough
from ostinato.testing.azure.answers import Answer, BadAnswer, answer_of, answer_of_failure
from ostinato.testing.azure.decisions import TurnResult
from ostinato.testing.azure.history import History, request_text
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed, Functions
from ostinato.testing.azure.shim import replay_answer


def take_turn(history: History, functions: Functions, options: HubOptions) -> TurnResult:
    """Call the function of an execution with its history, and decide what follows.

    Every failure of the function is a decision too: nothing that an app does raises here.
    """
    name = history.started.name
    if functions.grpc:
        return passthrough.take_turn(history, functions, options)
    if not functions.has_orchestration(name):
        return replay_answer(history.events, BadAnswer(unknown(name)), functions, options)
    request = request_text(
        history,
        long_timer_interval=options.long_timer_interval,
        maximum_short_timer=options.maximum_short_timer,
    )
    try:
        answer = answer_of(functions.orchestrate(name, request))
    except FunctionFailed as failed:
        return replay_answer(history.events, _raised(failed), functions, options)
    except BadAnswer as bad:
        return replay_answer(history.events, bad, functions, options)
    return replay_answer(history.events, answer, functions, options)


def _raised(failed: FunctionFailed) -> Answer | BadAnswer:
    try:
        return answer_of_failure(failed)
    except BadAnswer as bad:
        return bad


def unknown(name: str) -> str:
    """What the extension says of an orchestration that is not in the app."""
    return f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
