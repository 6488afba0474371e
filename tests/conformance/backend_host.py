"""Microsoft's in-memory backend under the suite's port: an engine that is not of our making.

What the Durable extension does stands around it: a worker loop takes work items over gRPC and
calls the function app's functions, in this process, and the management API over HTTP answers our
client by asking the backend over gRPC.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import azure.functions as func
import grpc  # type: ignore[import-untyped]
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

import ostinato as ost
from ostinato.client import Client, InstanceStatus
from ostinato.events import Event
from ostinato.testing import ManualClock
from ostinato.testing.azure import activity_work
from ostinato.testing.azure.binding import Webhook, client_payload
from ostinato.testing.azure.decisions import ScheduleTask
from ostinato.testing.azure.event_protobuf import failure_message, string
from ostinato.testing.azure.http_server import HttpServer
from ostinato.testing.azure.hub import TaskHub
from ostinato.testing.azure.management import WEBHOOK, ManagementApi
from ostinato.testing.azure.ports import FunctionFailed
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_durable import DurableFunctions
from ostinato_azure.client import AzureClient
from ostinato_azure.durabletask import read_history
from ostinato_azure.functions import Functions

from .azure_host import WorkerOf
from .backend_engine import ANY_SIZE, Backend
from .backend_hub import BackendHub
from .harness import EPOCH
from .hosts import SETTLES_IN, advance_to, finish


class BackendHost:
    """A function app on Microsoft's in-memory backend.

    Args:
        worker_of: Gives what runs an application's functions.
        server: Where its management API is.
    """

    def __init__(self, worker_of: WorkerOf, server: HttpServer) -> None:
        self._worker_of = worker_of
        self._server = server
        self._clock = ManualClock(EPOCH)
        self._backend = Backend(self._clock)
        address = self._backend.start()
        self._channel: Any = grpc.insecure_channel(address, options=ANY_SIZE)
        self._hub = BackendHub(self._channel)
        server.serve(ManagementApi(cast(TaskHub, self._hub)))
        self._worker: _Worker | None = None
        self._client: _Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "deploy an application first"
        return self._client

    def deploy(self, app: ost.App) -> None:
        """Run ``app``'s functions from now on."""
        webhook = Webhook(base=self._server.url + WEBHOOK, hub=self._hub.name)
        binding = client_payload(webhook, "http://127.0.0.1", grpc=True)
        worker = self._worker_of(app, fresh=self._worker is not None)
        functions = DurableFunctions(worker, ClientBindings(lambda _: binding))
        if self._worker is None:
            self._worker = _Worker(self._channel, functions, self._backend.break_off)
        else:
            self._worker.functions = functions
        if self._client is not None:
            self._client.close()
        self._client = _Client(self._server.url, self._hub, app)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._worker is not None:
            self._worker.close()
        self._channel.close()
        self._backend.stop()

    def advance(self, delta: timedelta) -> None:
        """Let time pass."""
        self._clock.advance(delta)

    def advance_to_next(self) -> bool:
        """Let time pass until the next timer is due, and tell whether there is one."""
        return advance_to(self._backend.next_due(), self._clock)

    def settle(self) -> None:
        """Wait until nothing can move without time or a message."""
        self._backend.settle(SETTLES_IN)

    def finish(self, instance_id: str) -> InstanceStatus:
        """Go from timer to timer until the instance ends."""
        return finish(self, instance_id)


class _Client(AzureClient):
    """The client, with whole histories: as the backend has them, and not the API."""

    def __init__(self, url: str, hub: BackendHub, app: ost.App) -> None:
        super().__init__(url, app=app)
        self._hub = hub
        self._around = Functions(app, func.FunctionApp(), grpc=True).around

    def get_history(self, instance_id: str) -> Sequence[Event]:
        self.get_status(instance_id)
        messages = self._hub.messages(instance_id)
        request = pb.OrchestratorRequest(instanceId=instance_id, pastEvents=messages)
        return read_history(_written(request), self._around)


class _Worker:
    """Takes work items, calls functions and completes the items.

    Args:
        channel: To the backend.
        functions: Those of the app; they may be replaced.
        broke: Is told of an error that no function should have caused.
    """

    def __init__(
        self, channel: Any, functions: DurableFunctions, broke: Callable[[BaseException], None]
    ) -> None:
        self.functions = functions
        self._broke = broke
        self._stub: Any = cast(Any, stubs).TaskHubSidecarServiceStub(channel)
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="backend-activity")
        self._items = self._stub.GetWorkItems(pb.GetWorkItemsRequest())
        self._thread = threading.Thread(target=self._work, name="backend-worker")
        self._thread.start()

    def close(self) -> None:
        self._items.cancel()
        self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        try:
            for item in self._items:
                if item.HasField("orchestratorRequest"):
                    self._guard(self._take_turn, item.orchestratorRequest, item.completionToken)
                else:
                    request = item.activityRequest
                    self._pool.submit(self._guard, self._run, request, item.completionToken)
        except grpc.RpcError as error:
            if not self._items.cancelled():
                self._broke(cast(Any, error))

    def _guard(self, perform: Callable[[Any, str], None], request: Any, token: str) -> None:
        try:
            perform(request, token)
        except BaseException as error:
            self._broke(error)

    def _take_turn(self, request: pb.OrchestratorRequest, token: str) -> None:
        events = (*request.pastEvents, *request.newEvents)
        name = next(e.executionStarted.name for e in events if e.HasField("executionStarted"))
        if self.functions.has_orchestration(name):
            answer = base64.b64decode(self.functions.orchestrate(name, _written(request)))
            response = pb.OrchestratorResponse.FromString(answer)
        else:
            response = _no_such_function(request.instanceId, name)
        response.completionToken = token
        self._stub.CompleteOrchestratorTask(response)

    def _run(self, request: pb.ActivityRequest, token: str) -> None:
        task = ScheduleTask(id=request.taskId, name=request.name, input=request.input.value or None)
        result, failure = None, None
        try:
            result = activity_work.run(task, self.functions)
        except FunctionFailed as error:
            failure = activity_work.failed(task, error, EPOCH, grpc=True).failure
        self._stub.CompleteActivityTask(
            pb.ActivityResponse(
                instanceId=request.orchestrationInstance.instanceId,
                taskId=request.taskId,
                result=string(result),
                failureDetails=failure_message(failure),
                completionToken=token,
            )
        )


def _no_such_function(instance_id: str, name: str) -> pb.OrchestratorResponse:
    """What the extension has the backend do for an orchestration that the app does not have."""
    text = f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
    completion = pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, result=string(text)
    )
    action = pb.OrchestratorAction(id=0, completeOrchestration=completion)
    return pb.OrchestratorResponse(instanceId=instance_id, actions=[action])


def _written(request: pb.OrchestratorRequest) -> str:
    return base64.b64encode(request.SerializeToString()).decode()
