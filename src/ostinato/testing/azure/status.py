"""The states of an instance, numbered as ``OrchestrationStatus`` numbers them."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """``OrchestrationRuntimeStatus``; the names are those that clients see."""

    Running = 0
    Completed = 1
    ContinuedAsNew = 2
    Failed = 3
    Canceled = 4
    Terminated = 5
    Pending = 6
    Suspended = 7

    @property
    def finished(self) -> bool:
        """Whether the instance goes no further by itself."""
        return self in (Status.Completed, Status.Failed, Status.Canceled, Status.Terminated)
