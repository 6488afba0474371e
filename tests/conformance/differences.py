"""Where a host cannot say what the others say, and what it says then.

A case listed here must fail, in the way that is told here: what a host learns to do is found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostinato.errors import NotRewindableError


@dataclass(frozen=True, slots=True)
class Differs:
    """How a case ends otherwise; ``said`` is a pattern in the error's text."""

    said: str
    error: type[Exception] = AssertionError
    by_chance: bool = False
    """Whether it ends as elsewhere where things come in another order."""


_OF_AZURE = {
    # As far as Azure knows, an instance whose start is put off runs: it waits by a timer.
    "a start at a later time is pending until then": Differs("RUNNING.* != .*PENDING"),
    # Azure's rewind would take failures out of history that were handled: the client refuses.
    "failures that were handled stay handled": Differs("handled failures", NotRewindableError),
    "of a retried activity only the last attempt is made again": Differs(
        "handled failures", NotRewindableError
    ),
}

_TYPE_IS_LOST = "'SubOrchestrationError' != '.*Error'"
_IS_NOT_CAUGHT = "FAILED.* != .*COMPLETED"

DIFFERS: Mapping[str, Mapping[str, Differs]] = {
    "azure": _OF_AZURE,
    "azure_grpc": {
        **_OF_AZURE,
        # The extension tells the parent no reason, which only details of a failure hold.
        "a terminated child fails its task with the reason": Differs("the host says no more"),
    },
    "backend": {
        **_OF_AZURE,
        # Of a child's end the backend tells the parent its failure's message, and nothing else.
        "a terminated child fails its task with the reason": Differs("Sub-orchestration failed"),
        "an uncaught failure keeps its type through every level": Differs(_TYPE_IS_LOST),
        "a child's failure raises in the parent as the original exception": Differs(_IS_NOT_CAUGHT),
        "a declared exception is caught as itself through a child": Differs(_IS_NOT_CAUGHT),
        "an exception of the child's own is caught as itself": Differs(_IS_NOT_CAUGHT),
        "a child whose attempts are used up raises the last failure": Differs(_TYPE_IS_LOST),
        "task_all raises the failure that came first, not the one listed first": Differs(
            _TYPE_IS_LOST
        ),
        "task_all of failed tasks raises the one that failed first": Differs(_TYPE_IS_LOST),
        "a failed child is rewound with its parent, and only its failed work runs again": Differs(
            _TYPE_IS_LOST
        ),
        "a timer that was due before its instance was rewound fires, whoever failed": Differs(
            _TYPE_IS_LOST
        ),
        # It tells a child nothing of its parent.
        "a child knows its parent, and the first instance has none": Differs(
            r"\[True, False, True"
        ),
        "a child takes the id it is given": Differs(r"\[True, False\] == \[True, True\]"),
        # It has no ids of executions. What comes late for one reaches the next of the instance;
        "timers of an earlier generation do not fire in a later one": Differs(
            "COMPLETED.* != .*RUNNING"
        ),
        "results of an earlier generation's activities are dropped": Differs(
            "'old' == 'mine'", by_chance=True
        ),
        # and ours, made up from the time of the start, are one while the clock stands still.
        "a restarted instance gets other uuids": Differs("False == True"),
    },
}
"""By host, as `conftest.HOSTS` names it, and by case."""
