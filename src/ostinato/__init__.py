"""Ostinato: durable workflows as plain Python generators, the same on every host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.activities import ActivityContext
from ostinato.app import App
from ostinato.client import (
    Client,
    InstanceStatus,
    Page,
    Query,
    RuntimeStatus,
    Start,
)
from ostinato.context import OrchestrationContext
from ostinato.errors import (
    CodecError,
    HubLockedError,
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    InvalidInstanceIdError,
    NonDeterminismError,
    NotAStoreError,
    NotRewindableError,
    OstinatoError,
    PayloadTooLargeError,
    RegistrationError,
    SchemaTooNewError,
    StoreError,
    TaskCancelledError,
    TaskFailedError,
    TooManyTasksError,
    UnknownNameError,
    UnsupportedError,
)
from ostinato.failures import Failure
from ostinato.retry import RetryOptions, RetryPolicy
from ostinato.tasks import Task
from ostinato.tokens import ManagedIdentityTokenSource
from ostinato.triggers import (
    Blob,
    BlobCreated,
    Http,
    HttpAuth,
    HttpRequest,
    Queue,
    QueueMessage,
    Schedule,
    ScheduleTick,
)

if TYPE_CHECKING:
    from ostinato import local as local
    from ostinato import testing as testing

__all__ = [
    "ActivityContext",
    "App",
    "Blob",
    "BlobCreated",
    "Client",
    "CodecError",
    "Failure",
    "Http",
    "HttpAuth",
    "HttpRequest",
    "HubLockedError",
    "InstanceExistsError",
    "InstanceFinishedError",
    "InstanceNotFoundError",
    "InstanceStatus",
    "InvalidInstanceIdError",
    "ManagedIdentityTokenSource",
    "NonDeterminismError",
    "NotAStoreError",
    "NotRewindableError",
    "OrchestrationContext",
    "OstinatoError",
    "Page",
    "PayloadTooLargeError",
    "Query",
    "Queue",
    "QueueMessage",
    "RegistrationError",
    "RetryOptions",
    "RetryPolicy",
    "RuntimeStatus",
    "Schedule",
    "ScheduleTick",
    "SchemaTooNewError",
    "Start",
    "StoreError",
    "Task",
    "TaskCancelledError",
    "TaskFailedError",
    "TooManyTasksError",
    "UnknownNameError",
    "UnsupportedError",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the hosts and the test tools only when they are used: clouds pay for imports."""
    if name in ("local", "testing"):
        import importlib

        return importlib.import_module(f"ostinato.{name}")
    raise AttributeError(f"module 'ostinato' has no attribute {name!r}")
