"""What others may import: a change here is a change to somebody's program."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import ostinato
import ostinato.local

PUBLIC = {
    "ostinato": [
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
    ],
    "ostinato.local": [
        "ActivityProgress",
        "Clock",
        "LocalClient",
        "LocalHost",
        "Progress",
        "RemoteHub",
        "RunningActivity",
        "Store",
        "SystemClock",
        "connect",
    ],
    "ostinato.testing": ["ManualClock", "replay_history"],
}

CONTEXT = [
    "call_activity",
    "call_activity_with_retry",
    "call_entity",
    "call_http",
    "call_sub_orchestrator",
    "call_sub_orchestrator_with_retry",
    "continue_as_new",
    "create_timer",
    "current_utc_datetime",
    "custom_status",
    "execution_id",
    "get_input",
    "instance_id",
    "is_replaying",
    "logger",
    "map",
    "name",
    "new_guid",
    "new_uuid",
    "parent_instance_id",
    "patched",
    "random",
    "send_event",
    "set_custom_status",
    "signal_entity",
    "start_orchestration",
    "task_all",
    "task_any",
    "version",
    "wait_for_external_event",
    "will_continue_as_new",
]

CLIENT = [
    "get_history",
    "get_status",
    "list_instances",
    "purge",
    "purge_many",
    "raise_event",
    "restart",
    "resume",
    "rewind",
    "start",
    "start_many",
    "suspend",
    "terminate",
    "wait",
]

FROM_1_X = {
    "call_activity": ["name", "input_"],
    "call_activity_with_retry": ["name", "retry_options", "input_"],
    "call_sub_orchestrator": ["name", "input_", "instance_id", "version"],
    "call_sub_orchestrator_with_retry": [
        "name",
        "retry_options",
        "input_",
        "instance_id",
        "version",
    ],
    "call_http": ["method", "uri", "content", "headers", "token_source", "is_raw_str"],
    "call_entity": ["entityId", "operationName", "operationInput"],
    "signal_entity": ["entityId", "operationName", "operationInput"],
    "task_all": ["activities"],
    "task_any": ["activities"],
    "create_timer": ["fire_at"],
    "wait_for_external_event": ["name"],
    "continue_as_new": ["input_"],
    "set_custom_status": ["status"],
    "get_input": [],
    "new_uuid": [],
    "new_guid": [],
}
"""Positional parameters of azure-functions-durable 1.x's context."""


def members(cls: type) -> list[str]:
    return sorted(name for name in vars(cls) if not name.startswith("_"))


@pytest.mark.parametrize("module", PUBLIC)
def test_a_package_exports_exactly_this(module: str):
    assert importlib.import_module(module).__all__ == PUBLIC[module]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_export_is_there_and_documented(module: str):
    package = importlib.import_module(module)
    for name in package.__all__:
        exported: Any = getattr(package, name)
        assert inspect.getdoc(exported), name


def test_errors_have_one_base():
    errors = [
        exported
        for name in ostinato.__all__
        if isinstance(exported := getattr(ostinato, name), type) and issubclass(exported, Exception)
    ]
    assert len(errors) == 19
    assert all(issubclass(error, ostinato.OstinatoError) for error in errors)


def test_an_orchestrator_can_ask_its_context_for_exactly_this():
    assert members(ostinato.OrchestrationContext) == CONTEXT


def test_a_client_has_exactly_these_verbs_and_the_local_one_has_them_all():
    assert members(ostinato.Client) == CLIENT
    assert set(CLIENT) <= set(members(ostinato.local.LocalClient))


@pytest.mark.parametrize("method", FROM_1_X)
def test_parameters_stand_where_1_x_has_them(method: str):
    parameters = inspect.signature(getattr(ostinato.OrchestrationContext, method)).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    expected = ["self", *FROM_1_X[method]]
    assert positional[: len(expected)] == expected


def test_1_x_itself_has_its_parameters_there():
    durable = pytest.importorskip("azure.durable_functions")
    for method, expected in FROM_1_X.items():
        theirs = getattr(durable.DurableOrchestrationContext, method)
        parameters = list(inspect.signature(theirs).parameters)[1:]
        assert parameters[: len(expected)] == expected, method


def test_public_names_come_from_the_package_itself():
    for module, names in PUBLIC.items():
        package = importlib.import_module(module)
        for name in names:
            origin = getattr(getattr(package, name), "__module__", "ostinato")
            assert origin.startswith("ostinato"), name
