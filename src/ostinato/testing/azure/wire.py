"""Calls of orchestration functions, on the protocol that their app speaks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from weakref import WeakKeyDictionary

from ostinato.testing.azure import passthrough
from ostinato.testing.azure.answers import Answer, BadAnswer, answer_of, answer_of_failure
from ostinato.testing.azure.decisions import Complete, TurnResult
from ostinato.testing.azure.history import History, request_text
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.ports import FunctionFailed, Functions, WorkersDied
from ostinato.testing.azure.shim import AnswerReplay, replay_answer
from ostinato.testing.azure.status import Status


@dataclass(frozen=True, slots=True)
class _Played:
    """The last turn of an execution: what the function gave, and how far it was played."""

    answer: str
    functions: Functions
    replay: AnswerReplay
    events: int


class Wire:
    """Takes turns.

    The extension replays the whole history at each. Here an execution that is given the same
    answer as the turn before goes on from there, which has the same outcome: most turns of a
    fan-out bring nothing but results.

    Args:
        options: Limits and lengths of timers.
    """

    def __init__(self, options: HubOptions) -> None:
        self._options = options
        self._played: WeakKeyDictionary[History, _Played] = WeakKeyDictionary()

    def take_turn(self, history: History, functions: Functions) -> TurnResult:
        """Call the function of an execution with its history, and decide what follows.

        Every failure of the function is a decision too: nothing that an app does raises here.
        """
        if functions.grpc:
            return passthrough.take_turn(history, functions, self._options)
        last = self._played.pop(history, None)
        name = history.started.name
        if not functions.has_orchestration(name):
            return self._whole(history, BadAnswer(unknown(name)), functions)
        request = request_text(
            history,
            long_timer_interval=self._options.long_timer_interval,
            maximum_short_timer=self._options.maximum_short_timer,
        )
        try:
            text = functions.orchestrate(name, request)
            if last is not None and last.answer == text and last.functions is functions:
                replay, past = last.replay, last.events
            else:
                replay, past = AnswerReplay(answer_of(text), functions, self._options), 0
        except WorkersDied as died:
            return _gave_up(name, died)
        except FunctionFailed as failed:
            return self._whole(history, _raised(failed), functions)
        except BadAnswer as bad:
            return self._whole(history, bad, functions)
        result = replay.play(islice(history.events, past, None))
        if not any(isinstance(decision, Complete) for decision in result.decisions):
            self._played[history] = _Played(text, functions, replay, len(history.events))
        return result

    def _whole(
        self, history: History, answer: Answer | BadAnswer, functions: Functions
    ) -> TurnResult:
        return replay_answer(history.events, answer, functions, self._options)


def _gave_up(name: str, died: WorkersDied) -> TurnResult:
    """The end of an instance whose turn was given up: nothing of it is compared with history."""
    why = f"Orchestrator function '{name}' failed: {died.text}"
    return TurnResult(decisions=(Complete(id=0, status=Status.Failed, result=why),))


def _raised(failed: FunctionFailed) -> Answer | BadAnswer:
    try:
        return answer_of_failure(failed)
    except BadAnswer as bad:
        return bad


def unknown(name: str) -> str:
    """What the extension says of an orchestration that is not in the app."""
    return f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
