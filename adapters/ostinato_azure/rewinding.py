"""What Azure's rewind would do to an instance that has failed.

It takes every failure out of the history, with what scheduled it, and so serves where each failure
is one that ended the execution and nothing was asked for because of one: then it is the core's own.
"""

from __future__ import annotations

from collections.abc import Iterable


class Failures:
    """The failures of one execution, as far as a rewind goes."""

    def __init__(self) -> None:
        self._core_ids: set[int] = set()
        self._ids_at_first = -1
        self._others = False
        self._rewinds: bool | None = None

    @property
    def rewinds(self) -> bool:
        """Whether the rewind is the core's own; told when the execution has ended."""
        return self._rewinds is True

    def note(self, core_id: int, host_ids: int) -> None:
        """Note that a task has failed when there were so many host ids."""
        if self._rewinds is not None:
            return  # it has ended: the answer does not change any more
        if not self._core_ids:
            self._ids_at_first = host_ids
        self._core_ids.add(core_id)

    def note_other(self) -> None:
        """Note a failure that the core, or the host, knows nothing of."""
        self._others = True

    def decide(self, culprits: Iterable[int], host_ids: int, *, asks_more: bool) -> None:
        """Decide, in the turn in which the execution ends.

        Args:
            culprits: Core ids of the failures that ended it.
            host_ids: How many host ids there are.
            asks_more: Whether that turn asks for something.
        """
        if self._rewinds is None:
            self._rewinds = not self._others and (
                not self._core_ids
                or (
                    self._core_ids == set(culprits)
                    and self._ids_at_first == host_ids
                    and not asks_more
                )
            )
