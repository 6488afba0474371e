"""The exceptions of Ostinato, by what their receiver does next.

OstinatoError
├── TaskFailedError          catch it in the orchestrator: an activity or child failed
├── TaskCancelledError       a task was cancelled before it finished
├── CodecError               mend the value or the annotation
├── PayloadTooLargeError     store the payload elsewhere and pass a reference
├── RegistrationError        mend the application's declarations
├── InvalidInstanceIdError   choose another id
├── UnknownNameError         register the function, or declare it foreign; then rewind
├── NonDeterminismError      mend the orchestrator; then rewind
├── TooManyTasksError        add the missing yield, or split the fan-out; then rewind
├── InstanceNotFoundError    there is nothing to act on
├── InstanceExistsError      attach to the instance, or choose another id
├── InstanceFinishedError    too late: restart it, or start another
├── NotRewindableError       only failed instances can be rewound
├── UnsupportedError         this host cannot do it
└── StoreError               the task hub cannot be read or written; nothing was lost
    ├── HubLockedError       another process executes this task hub
    ├── NotAStoreError       the file is something else
    └── SchemaTooNewError    a newer Ostinato wrote the file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostinato.failures import Failure


class OstinatoError(Exception):
    """Base of every error that Ostinato raises."""


class TaskFailedError(OstinatoError):
    """An activity or sub-orchestration failed for good.

    When the original class is a builtin, or was declared with ``raises=[...]``,
    the error raised is an instance of that class too.
    """

    failure: Failure

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

    def __str__(self) -> str:
        failure = self.failure
        if type(self) is not TaskFailedError:  # it is the original class, and reads like it
            return failure.message
        text = f"{failure.type}: {failure.message}" if failure.message else failure.type
        if failure.task is None:
            return text
        attempt = f", attempt {failure.attempt}" if failure.attempt > 1 else ""
        return f"{text} (in {failure.task!r}{attempt})"


class TaskCancelledError(OstinatoError):
    """The awaited task was cancelled by the orchestrator itself."""


class CodecError(OstinatoError, ValueError):
    """A value cannot be written as JSON, or JSON does not fit its annotation."""


class PayloadTooLargeError(OstinatoError, ValueError):
    """A payload is larger than the application or the host allows."""


class RegistrationError(OstinatoError, ValueError):
    """An activity, orchestration or trigger is declared wrongly."""


class InvalidInstanceIdError(OstinatoError, ValueError):
    """An instance id that is not valid on every host."""


class UnknownNameError(OstinatoError, LookupError):
    """An orchestration, version or activity that the application does not have."""


class NonDeterminismError(OstinatoError):
    """The orchestrator did not repeat what its history records."""


class TooManyTasksError(OstinatoError):
    """The orchestrator asked for more tasks without a yield than any honest fan-out has."""


class InstanceNotFoundError(OstinatoError, LookupError):
    """There is no instance with this id."""


class InstanceExistsError(OstinatoError):
    """The instance id is taken."""


class InstanceFinishedError(OstinatoError):
    """The instance has ended and takes no more messages."""


class NotRewindableError(OstinatoError):
    """The instance has not failed, so there is nothing to rewind."""


class UnsupportedError(OstinatoError):
    """This host cannot do what was asked."""


class StoreError(OstinatoError):
    """The task hub's storage cannot be read or written."""


class HubLockedError(StoreError):
    """Another process executes this task hub."""


class NotAStoreError(StoreError):
    """The file is not a task hub."""


class SchemaTooNewError(StoreError):
    """The task hub was written by a newer version of Ostinato."""
