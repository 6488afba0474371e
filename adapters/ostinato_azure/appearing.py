"""Children that were just asked for: Azure Storage writes an instance's row with its first turn,
and no client finds it until then, nor can it be sent anything."""

from __future__ import annotations

import time
from collections.abc import Callable

from ostinato.errors import InstanceNotFoundError

APPEARS_IN = 20.0
"""Seconds in which a child appears, unless the app is down."""

_FIRST_PAUSE = 0.05


def when_there(act: Callable[[], object]) -> None:
    """Do something to an instance as soon as it is there.

    Raises:
        InstanceNotFoundError: It does not appear.
    """
    deadline, pause = time.monotonic() + APPEARS_IN, _FIRST_PAUSE
    while True:
        try:
            act()
            return
        except InstanceNotFoundError:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
