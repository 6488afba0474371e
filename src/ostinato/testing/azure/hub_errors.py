"""Why the task hub refuses what a client asks. Each text is the extension's own."""

from __future__ import annotations

from ostinato.testing.azure.status import Status


class HubError(Exception):
    """A client's request is refused."""


class InstanceUnknown(HubError):
    """There is no such instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"No instance with ID '{instance_id}' was found.")


class InstanceInUse(HubError):
    """The id belongs to an instance that has not finished."""

    def __init__(self, instance_id: str, status: Status) -> None:
        super().__init__(
            f"An orchestration with id '{instance_id}' already exists. It is in state {status.name}"
        )


class InstanceOver(HubError):
    """The instance has finished."""

    def __init__(self, what: str, instance_id: str, status: Status) -> None:
        super().__init__(
            f"Cannot {what} the orchestration instance {instance_id} because instance is in the"
            f" {status.name} state."
        )


class WrongState(HubError):
    """The instance is in another state than what is asked needs."""

    def __init__(self, what: str, instance_id: str, status: Status) -> None:
        super().__init__(
            f"Cannot {what} the orchestration instance {instance_id} because instance is in the"
            f" {status.name} state."
        )
        self.status = status
