"""Tasks that complete once, and coroutines that wait for them: no loop, no threads.

What waits goes on at once, inside the call that completes a task, as continuations do under the
synchronous scheduler of DurableTask.Core.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeAlias


class Awaited:
    """Something that will be done, or will have failed, which is being done too."""

    __slots__ = ("_callbacks", "done", "failed")

    def __init__(self, *, done: bool = False, failed: bool = False) -> None:
        self.done = done or failed
        self.failed = failed
        self._callbacks: list[Callable[[], None]] | None = None

    def complete(self, *, failed: bool = False) -> None:
        """Be done, and let what waits go on; nothing when it was done before."""
        if self.done:
            return
        self.done = True
        self.failed = failed
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()

    def then(self, callback: Callable[[], None]) -> None:
        """Call once done: now, if it is."""
        if self.done:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)


Steps: TypeAlias = Generator[Awaited, None, None]
"""A coroutine: it yields what it waits for, and looks at it when it goes on."""


def run(steps: Steps) -> Awaited:
    """Run a coroutine; what is returned is done when it has ended, failed when it raised `Broken`.

    Any other exception comes out of whatever call moved the coroutine on.
    """
    ended = Awaited()

    def move_on() -> None:
        while True:
            try:
                awaited = next(steps)
            except StopIteration:
                ended.complete()
                return
            except Broken:
                ended.complete(failed=True)
                return
            if not awaited.done:
                awaited.then(move_on)
                return

    move_on()
    return ended


class Broken(Exception):
    """A call failed; whoever waits for it sees a failed task."""


def when_all(tasks: Iterable[Awaited]) -> Awaited:
    """Done when all are; failed when any is."""
    children = list(tasks)
    group = Awaited()
    left = len(children)
    if not left:
        group.complete()

    def one_done() -> None:
        nonlocal left
        left -= 1
        if not left:
            group.complete(failed=any(child.failed for child in children))

    for child in children:
        child.then(one_done)
    return group


def when_any(tasks: Iterable[Awaited]) -> Awaited:
    """Done when one is; of none at all it fails, as ``Task.WhenAny`` does."""
    children = list(tasks)
    group = Awaited(failed=not children)
    for child in children:
        child.then(group.complete)
    return group
