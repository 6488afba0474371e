"""The gRPC service that clients of azure-functions-durable 2.x ask, over the task hub.

Of ``TaskHubSidecarService`` the calls that clients make are here; those by which workers take work
from a hub are not, as in an app it is the host that calls the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import grpc  # type: ignore[import-untyped]
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BoolValue

from ostinato.testing.azure.event_protobuf import (
    event_message,
    failure_message,
    string,
    timestamp,
)
from ostinato.testing.azure.events import ExecutionCompleted, FailureDetails
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.hub_errors import (
    HubError,
    InstanceInUse,
    InstanceUnknown,
)
from ostinato.testing.azure.instance import InstanceState
from ostinato.testing.azure.status import Status

T = TypeVar("T")

WAIT = 0.05
"""Seconds between two looks at an instance that someone waits for."""

THREADS = 32
"""Calls that are answered at a time; those that wait for an instance count."""


class SidecarServer:
    """Serves a task hub's clients on a free port of 127.0.0.1.

    Args:
        hub: Whose instances these are.
    """

    def __init__(self, hub: TaskHub) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sidecar")
        self._server: Any = grpc.server(
            self._pool,
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        register = cast(Any, stubs).add_TaskHubSidecarServiceServicer_to_server
        register(Sidecar(hub), self._server)
        self.port = int(self._server.add_insecure_port("127.0.0.1:0"))
        """Where it listens."""
        self._server.start()

    def close(self) -> None:
        """Stop; calls under way are broken off."""
        self._server.stop(None).wait()
        self._pool.shutdown()


class Sidecar(stubs.TaskHubSidecarServiceServicer):
    """The calls of clients."""

    def __init__(self, hub: TaskHub) -> None:
        self._hub = hub

    def Hello(self, request: Empty, context: Any) -> Empty:
        """Answer."""
        return Empty()

    def StartInstance(self, request: pb.CreateInstanceRequest, context: Any) -> Any:
        """Start an instance; an unfinished one of its id is an error."""
        scheduled = None
        if request.HasField("scheduledStartTimestamp"):
            scheduled = _datetime(request.scheduledStartTimestamp)
        instance_id = _asked(
            context,
            lambda: self._hub.start(
                request.name,
                _text(request, "input"),
                instance_id=request.instanceId or None,
                version=_text(request, "version"),
                tags=dict(request.tags) or None,
                scheduled_start=scheduled,
            ),
        )
        return pb.CreateInstanceResponse(instanceId=instance_id)

    def GetInstance(self, request: pb.GetInstanceRequest, context: Any) -> Any:
        """Tell the state of an instance; one that does not exist is no error."""
        try:
            state = self._hub.get(request.instanceId)
        except InstanceUnknown:
            return pb.GetInstanceResponse(exists=False)
        return _response(state, request.getInputsAndOutputs)

    def WaitForInstanceStart(self, request: pb.GetInstanceRequest, context: Any) -> Any:
        """Wait until an instance is no longer pending."""
        return self._wait(request, context, lambda state: state.status is not Status.Pending)

    def WaitForInstanceCompletion(self, request: pb.GetInstanceRequest, context: Any) -> Any:
        """Wait until an instance has finished."""
        return self._wait(request, context, lambda state: state.status.finished)

    def RaiseEvent(self, request: pb.RaiseEventRequest, context: Any) -> Any:
        """Send an event."""
        event = _text(request, "input")
        _asked(context, lambda: self._hub.raise_event(request.instanceId, request.name, event))
        return pb.RaiseEventResponse()

    def TerminateInstance(self, request: pb.TerminateRequest, context: Any) -> Any:
        """End an instance."""
        reason = _text(request, "output")
        _asked(context, lambda: self._hub.terminate(request.instanceId, reason))
        return pb.TerminateResponse()

    def SuspendInstance(self, request: pb.SuspendRequest, context: Any) -> Any:
        """Suspend an instance."""
        reason = _text(request, "reason")
        _asked(context, lambda: self._hub.suspend(request.instanceId, reason))
        return pb.SuspendResponse()

    def ResumeInstance(self, request: pb.ResumeRequest, context: Any) -> Any:
        """Let a suspended instance go on."""
        reason = _text(request, "reason")
        _asked(context, lambda: self._hub.resume(request.instanceId, reason))
        return pb.ResumeResponse()

    def RewindInstance(self, request: pb.RewindInstanceRequest, context: Any) -> Any:
        """Run a failed instance from its failures on."""
        reason = _text(request, "reason")
        _asked(context, lambda: self._hub.rewind(request.instanceId, reason))
        return pb.RewindInstanceResponse()

    def RestartInstance(self, request: pb.RestartInstanceRequest, context: Any) -> Any:
        """Start an instance again with its input."""
        new_id = request.restartWithNewInstanceId
        instance_id = _asked(context, lambda: self._hub.restart(request.instanceId, new_id=new_id))
        return pb.RestartInstanceResponse(instanceId=instance_id)

    def PurgeInstances(self, request: pb.PurgeInstancesRequest, context: Any) -> Any:
        """Forget one instance, a batch, or all finished ones that match."""
        if request.HasField("purgeInstanceFilter"):
            wanted = request.purgeInstanceFilter
            count = self._hub.purge_many(
                created_from=_bound(wanted, "createdTimeFrom"),
                created_to=_bound(wanted, "createdTimeTo"),
                statuses=[Status(status) for status in wanted.runtimeStatus],
            )
        else:
            one = [request.instanceId] if request.HasField("instanceId") else []
            count = sum(map(self._purge, one or request.instanceBatch.instanceIds))
        return pb.PurgeInstancesResponse(
            deletedInstanceCount=count, isComplete=BoolValue(value=True)
        )

    def QueryInstances(self, request: pb.QueryInstancesRequest, context: Any) -> Any:
        """List instances, a page at a time."""
        query = request.query
        page = self._hub.list_instances(
            statuses=[Status(status) for status in query.runtimeStatus],
            created_from=_bound(query, "createdTimeFrom"),
            created_to=_bound(query, "createdTimeTo"),
            prefix=query.instanceIdPrefix.value,
            top=query.maxInstanceCount or 100,
            token=query.continuationToken.value or None,
        )
        states = [_state(state, query.fetchInputsAndOutputs) for state in page.instances]
        return pb.QueryInstancesResponse(
            orchestrationState=states, continuationToken=string(page.token)
        )

    def ListInstanceIds(self, request: pb.ListInstanceIdsRequest, context: Any) -> Any:
        """List the ids of finished instances, a page at a time."""
        statuses = [Status(status) for status in request.runtimeStatus]
        page = self._hub.list_instances(
            statuses=statuses or [status for status in Status if status.finished],
            top=request.pageSize or 100,
            token=request.lastInstanceKey.value or None,
        )
        return pb.ListInstanceIdsResponse(
            instanceIds=[state.instance_id for state in page.instances],
            lastInstanceKey=string(page.token),
        )

    def StreamInstanceHistory(
        self, request: pb.StreamInstanceHistoryRequest, context: Any
    ) -> Iterator[Any]:
        """Tell the history of an instance."""
        state = _asked(context, lambda: self._hub.get(request.instanceId))
        yield pb.HistoryChunk(events=[event_message(event) for event in state.history])

    def SignalEntity(self, request: pb.SignalEntityRequest, context: Any) -> Any:
        """Send an operation to an entity."""
        name, key = _entity(request.instanceId)
        self._hub.signal_entity(name, key, request.name, _text(request, "input"))
        return pb.SignalEntityResponse()

    def GetEntity(self, request: pb.GetEntityRequest, context: Any) -> Any:
        """Tell the state of an entity; one that does not exist is no error."""
        name, key = _entity(request.instanceId)
        state = self._hub.entity_state(name, key)
        if state is None:
            return pb.GetEntityResponse(exists=False)
        shown = string(state) if request.includeState else None
        told = pb.EntityMetadata(instanceId=request.instanceId, serializedState=shown)
        return pb.GetEntityResponse(exists=True, entity=told)

    def _wait(
        self,
        request: pb.GetInstanceRequest,
        context: Any,
        enough: Callable[[InstanceState], bool],
    ) -> Any:
        """Look again and again, until it is enough or the client has gone."""
        while True:
            state = _asked(context, lambda: self._hub.get(request.instanceId))
            if enough(state) or not context.is_active():
                return _response(state, request.getInputsAndOutputs)
            try:
                self._hub.wait(request.instanceId, WAIT)
            except TimeoutError:
                continue

    def _purge(self, instance_id: str) -> int:
        try:
            self._hub.purge(instance_id)
        except InstanceUnknown:
            return 0
        return 1


def _asked(context: Any, ask: Callable[[], T]) -> T:
    """Ask the hub; what it refuses is the call's status."""
    try:
        return ask()
    except InstanceUnknown as error:
        context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except InstanceInUse as error:
        context.abort(grpc.StatusCode.ALREADY_EXISTS, str(error))
    except HubError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    raise AssertionError("abort raises")


def _response(state: InstanceState, with_payloads: bool) -> pb.GetInstanceResponse:
    return pb.GetInstanceResponse(exists=True, orchestrationState=_state(state, with_payloads))


def _state(state: InstanceState, with_payloads: bool) -> pb.OrchestrationState:
    told = pb.OrchestrationState(
        instanceId=state.instance_id,
        name=state.name,
        version=string(state.version),
        orchestrationStatus=pb.OrchestrationStatus.Name(state.status),
        createdTimestamp=timestamp(state.created),
        lastUpdatedTimestamp=timestamp(state.updated),
        input=string(state.input if with_payloads else None),
        output=string(state.output if with_payloads else None),
        customStatus=string(state.custom_status),
        failureDetails=failure_message(_failure(state)),
        executionId=string(state.execution_id),
        parentInstanceId=string(state.parent_id),
        tags=state.tags,
    )
    if state.scheduled_start is not None:
        told.scheduledStartTimestamp.CopyFrom(timestamp(state.scheduled_start))
    return told


def _failure(state: InstanceState) -> FailureDetails | None:
    """What the instance failed of, as its last event has it."""
    for event in reversed(state.history):
        if isinstance(event, ExecutionCompleted):
            return event.failure
    return None


def _text(request: Any, field: str) -> str | None:
    """A text that may be left out."""
    return str(getattr(request, field).value) if request.HasField(field) else None


def _bound(request: Any, field: str) -> datetime | None:
    return _datetime(getattr(request, field)) if request.HasField(field) else None


def _datetime(stamp: Any) -> datetime:
    return cast(datetime, stamp.ToDatetime(tzinfo=UTC))


def _entity(instance_id: str) -> tuple[str, str]:
    """Name and key of ``@name@key``."""
    name, _, key = instance_id.removeprefix("@").partition("@")
    return name, key
