"""Instances that were just asked for as children: Azure Storage writes an instance's row with its
first turn. Until then no client finds it, nor can it be sent anything; and where its id had an
instance before, that one is found, which has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from ostinato.errors import InstanceFinishedError, InstanceNotFoundError

APPEARS_IN = 20.0
"""Seconds in which a child appears, unless the app is down."""

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Patience:
    """Waits for instances to appear; one time for all of them.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def when_there(
        self, act: Callable[[], object], *, is_other: Callable[[], bool] = lambda: False
    ) -> None:
        """Do something to an instance as soon as it is there.

        Args:
            act: What to do.
            is_other: Whether an instance that has ended is one that had the id before.

        Raises:
            InstanceNotFoundError: It does not appear in time.
            InstanceFinishedError: It has ended; or it does not appear in the other's place.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                act()
                return
            except InstanceNotFoundError:
                if self._left <= 0:
                    raise
            except InstanceFinishedError:
                if self._left <= 0 or not is_other():
                    raise
            time.sleep(max(min(pause, _LONGEST_PAUSE, self._left), 0.0))
            pause *= 2

    @property
    def _left(self) -> float:
        return self._ends - time.monotonic()
