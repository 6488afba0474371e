"""The verbs of a task hub, as the management API asks for them, over a backend's gRPC service.

What the extension checks before it asks its backend is checked here: whether there is such an
instance, and whether it has ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any, cast

import grpc  # type: ignore[import-untyped]
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

from ostinato.testing.azure.event_protobuf import string, time_from, timestamp
from ostinato.testing.azure.hub import Page
from ostinato.testing.azure.hub_errors import (
    InstanceInUse,
    InstanceOver,
    InstanceUnknown,
    WrongState,
)
from ostinato.testing.azure.instance import InstanceState
from ostinato.testing.azure.options import HubOptions
from ostinato.testing.azure.status import Status

from .backend_events import event_of, text_of


class BackendHub:
    """A backend as a `TaskHub`, for the `ManagementApi`.

    Args:
        channel: To the backend.
    """

    def __init__(self, channel: Any) -> None:
        self.name = "BackendHub"
        self.options = HubOptions()
        self._stub: Any = cast(Any, stubs).TaskHubSidecarServiceStub(channel)

    def start(self, name: str, input: str | None = None, *, instance_id: str | None = None) -> str:
        """Start an instance; a finished one of the id is replaced."""
        chosen = instance_id or uuid.uuid4().hex
        ended = [pb.OrchestrationStatus.Name(status) for status in Status if status.finished]
        try:
            self._stub.StartInstance(
                pb.CreateInstanceRequest(
                    instanceId=chosen,
                    name=name,
                    input=string(input),
                    orchestrationIdReusePolicy=pb.OrchestrationIdReusePolicy(
                        replaceableStatus=ended
                    ),
                )
            )
        except grpc.RpcError as error:
            if cast(Any, error).code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
            raise InstanceInUse(chosen, self.get(chosen).status) from error
        return chosen

    def get(self, instance_id: str) -> InstanceState:
        """Status and history of an instance."""
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        found = self._stub.GetInstance(request)
        if not found.exists:
            raise InstanceUnknown(instance_id)
        return _state(found.orchestrationState, self.messages(instance_id))

    def messages(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The history of an instance as the backend keeps it."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance_id)
        return [e for chunk in self._stub.StreamInstanceHistory(request) for e in chunk.events]

    def list_instances(
        self,
        *,
        statuses: Collection[Status] | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        prefix: str = "",
        top: int = 100,
        token: str | None = None,
    ) -> Page:
        """Instances that match."""
        answer = self._stub.QueryInstances(
            pb.QueryInstancesRequest(
                query=pb.InstanceQuery(
                    runtimeStatus=[
                        pb.OrchestrationStatus.Name(status) for status in statuses or ()
                    ],
                    createdTimeFrom=None if created_from is None else timestamp(created_from),
                    createdTimeTo=None if created_to is None else timestamp(created_to),
                    maxInstanceCount=top,
                    continuationToken=string(token),
                    instanceIdPrefix=string(prefix),
                    fetchInputsAndOutputs=True,
                )
            )
        )
        found = tuple(_state(told, []) for told in answer.orchestrationState)
        return Page(found, text_of(answer, "continuationToken"))

    def raise_event(self, instance_id: str, name: str, input: str | None) -> None:
        """Send an event."""
        self._unfinished(instance_id, "raise an event to")
        request = pb.RaiseEventRequest(instanceId=instance_id, name=name, input=string(input))
        self._stub.RaiseEvent(request)

    def terminate(self, instance_id: str, reason: str | None = None) -> None:
        """End an instance."""
        self._unfinished(instance_id, "terminate")
        request = pb.TerminateRequest(instanceId=instance_id, output=string(reason))
        self._stub.TerminateInstance(request)

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Suspend an instance."""
        self._unfinished(instance_id, "suspend")
        request = pb.SuspendRequest(instanceId=instance_id, reason=string(reason))
        self._stub.SuspendInstance(request)

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on."""
        self._unfinished(instance_id, "resume")
        request = pb.ResumeRequest(instanceId=instance_id, reason=string(reason))
        self._stub.ResumeInstance(request)

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """Run a failed instance from its failures on."""
        status = self.get(instance_id).status
        if status is not Status.Failed:
            raise WrongState("rewind", instance_id, status)
        request = pb.RewindInstanceRequest(instanceId=instance_id, reason=string(reason))
        self._stub.RewindInstance(request)

    def purge(self, instance_id: str) -> None:
        """Forget an instance."""
        self.get(instance_id)
        self._stub.PurgeInstances(pb.PurgeInstancesRequest(instanceId=instance_id))

    def _unfinished(self, instance_id: str, verb: str) -> None:
        status = self.get(instance_id).status
        if status.finished:
            raise InstanceOver(verb, instance_id, status)


def _state(told: pb.OrchestrationState, messages: list[pb.HistoryEvent]) -> InstanceState:
    return InstanceState(
        instance_id=told.instanceId,
        name=told.name,
        status=Status(told.orchestrationStatus),
        input=text_of(told, "input"),
        output=text_of(told, "output"),
        custom_status=text_of(told, "customStatus"),
        created=time_from(told.createdTimestamp),
        updated=time_from(told.lastUpdatedTimestamp),
        execution_id=told.executionId.value,
        version=text_of(told, "version"),
        tags=dict(told.tags),
        parent_id=text_of(told, "parentInstanceId"),
        scheduled_start=None,
        history=tuple(event for message in messages if (event := event_of(message)) is not None),
    )
