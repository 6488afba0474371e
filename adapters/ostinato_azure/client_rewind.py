"""Which failed instances Azure's rewind serves as every other host's does.

It takes every failure out of the history, those that were handled among them, and so would run
handled work again, under ids that the orchestrator has since given to other work. It does so in
failed children, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ostinato.failures import Failure
from ostinato_azure.client_history import failure_in, failures_in, rewinds


def has_handled_failures(found: dict[str, Any]) -> bool:
    """Whether some failure in an instance's history is not the one that ended it.

    An instance of ours tells so itself. Of several failures of another the history does not tell
    whether all were final, as in a fan-out, or some were handled: that counts as handled.
    """
    told = rewinds(found)
    if told is not None:
        return not told
    failures = failures_in(found)
    ended_by = {(cause.type, cause.message) for cause in _chain(failure_in(found))}
    return len(failures) > 1 or any((f.type, f.message) not in ended_by for f in failures)


def _chain(failure: Failure | None) -> Iterator[Failure]:
    while failure is not None:
        yield failure
        failure = failure.cause
