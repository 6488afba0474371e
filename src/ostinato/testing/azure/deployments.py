"""What becomes of work that a deployment interrupts: what is deployed then does it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Deployed = TypeVar("Deployed")
Result = TypeVar("Result")


class Undeployed(Exception):
    """The worker was closed before it answered a call, so nobody knows how far the call came."""


def by_what_is_deployed(
    deployed: Callable[[], Deployed], work: Callable[[Deployed], Result]
) -> Result:
    """Have a piece of work done by what is deployed when it is begun, each time that it is.

    Raises:
        Undeployed: It was interrupted, and nothing was deployed instead.
    """
    while True:
        chosen = deployed()
        try:
            return work(chosen)
        except Undeployed:
            if deployed() is chosen:
                raise
