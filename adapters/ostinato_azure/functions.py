"""The function app: every orchestration and activity of an application as an Azure function.

Functions are registered by their generic bindings on an `azure.functions.FunctionApp`, with no
decorator of the Durable SDK's, so that the app lives beside functions of its 1.x and of its 2.x:
which protocol the extension speaks is then theirs to choose, and each request is answered on the
one that it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from ostinato.app import App
from ostinato.definitions import ActivityDefinition
from ostinato.errors import CodecError
from ostinato.triggers import Blob, Http, Queue, Schedule, Trigger
from ostinato_azure.names import CLIENT, GATE, function_name
from ostinato_azure.table import Surroundings

if TYPE_CHECKING:
    import azure.functions as func

STORAGE = "AzureWebJobsStorage"
"""The app setting with the connection of queues and blobs."""


class Functions:
    """Registers an application's functions on a function app.

    Args:
        app: The application.
        target: The function app, which may have functions of its own.
        grpc: Whether to ask the extension for the Durable Task protocol.
    """

    def __init__(self, app: App, target: func.FunctionRegister, *, grpc: bool) -> None:
        self._app = app
        self._target = target
        self._grpc = grpc
        self._taken: list[str] = []
        self._indexed: dict[str, dict[str, Any]] = {}
        self.around = Surroundings(
            registry=app.registry,
            has_activity=lambda name: self._is_others("activityTrigger", "activity", name),
            has_orchestration=lambda name: self._is_others(
                "orchestrationTrigger", "orchestration", name
            ),
        )

    def register(self) -> None:
        """Register everything."""
        self._note_when_indexed()
        registry = self._app.registry
        for name in dict.fromkeys(d.name for d in registry.orchestrations() if d.fn is not None):
            self._trigger(name, self._orchestrate, "context", "orchestrationTrigger", name)
        for definition in registry.activities():
            if definition.fn is not None:
                run = self._activity(definition)
                self._trigger(definition.name, run, "payload", "activityTrigger", definition.name)
        for orchestration in registry.orchestrations():
            for trigger in orchestration.triggers:
                self._start_by(orchestration.name, trigger)
        self._trigger(GATE, _pass, "payload", "activityTrigger", GATE)
        self._trigger(CLIENT, self._operate, "payload", "activityTrigger", CLIENT)

    def _trigger(
        self, wanted: str, fn: Callable[..., Any], argument: str, kind: str, name: str
    ) -> None:
        known_as = {"orchestrationTrigger": "orchestration", "activityTrigger": "activity"}[kind]
        settings: dict[str, Any] = {known_as: name}
        if self._grpc:
            settings["durableRequiresGrpc"] = True
        chosen = function_name(wanted, self._taken)
        self._taken.append(chosen)
        target: Any = self._target  # its own annotations leave the bindings' settings open
        bound = target.generic_trigger(arg_name=argument, type=kind, **settings)(_fresh(fn))
        if fn == self._operate:
            bound = target.generic_input_binding(arg_name="client", type="durableClient")(bound)
        target.function_name(chosen)(bound)

    def _start_by(self, name: str, trigger: Trigger) -> None:
        """Register the function by which a trigger starts an orchestration."""
        target: Any = self._target
        match trigger:
            case Http():
                made = self._http_starter(name, trigger)
                bound = target.generic_trigger(
                    arg_name="request",
                    type="httpTrigger",
                    route=trigger.route,
                    methods=list(trigger.methods),
                    authLevel="ANONYMOUS",
                )(_fresh(made))
                bound = target.generic_output_binding(arg_name="$return", type="http")(bound)
                kind = "http"
            case Queue():
                made = self._starter(name, "message", "queue_message")
                bound = target.generic_trigger(
                    arg_name="message",
                    type="queueTrigger",
                    queueName=trigger.name,
                    connection=STORAGE,
                )(_fresh(made))
                kind = "queue"
            case Blob():
                made = self._starter(name, "blob", "blob_created")
                bound = target.generic_trigger(
                    arg_name="blob",
                    type="blobTrigger",
                    path=trigger.pattern,
                    connection=STORAGE,
                    source="EventGrid",
                )(_fresh(made))
                kind = "blob"
            case Schedule():
                made = self._scheduler(name, trigger)
                bound = target.generic_trigger(
                    arg_name="timer", type="timerTrigger", schedule="0 * * * * *"
                )(_fresh(made))
                kind = "schedule"
            case _:
                assert_never(trigger)
        bound = target.generic_input_binding(arg_name="client", type="durableClient")(bound)
        chosen = function_name(f"{name}_{kind}", self._taken)
        self._taken.append(chosen)
        target.function_name(chosen)(bound)

    def _http_starter(self, name: str, trigger: Http) -> Callable[..., Any]:
        app = self._app

        def starter(request: Any, client: str) -> Any:
            import azure.functions as func

            from ostinato_azure import triggers

            event = triggers.http_request(request)
            if not triggers.is_allowed(trigger.auth, event):
                return func.HttpResponse(
                    "the key or signature is missing or wrong", status_code=401
                )
            try:
                instance_id = triggers.start(name, event, client, app)
            except CodecError as error:
                return func.HttpResponse(str(error), status_code=400)
            body = msgspec.json.encode({"id": instance_id})
            return func.HttpResponse(body, status_code=202, mimetype="application/json")

        return starter

    def _starter(self, name: str, argument: str, reading: str) -> Callable[..., Any]:
        app = self._app

        def start(given: Any, client: str) -> None:
            from ostinato_azure import triggers

            triggers.start(name, getattr(triggers, reading)(given), client, app)

        if argument == "message":

            def by_message(message: Any, client: str) -> None:
                start(message, client)

            return by_message

        def by_blob(blob: Any, client: str) -> None:
            start(blob, client)

        return by_blob

    def _scheduler(self, name: str, trigger: Schedule) -> Callable[..., Any]:
        app = self._app

        def by_minute(timer: Any, client: str) -> None:
            from datetime import UTC, datetime

            from ostinato_azure import triggers

            for tick in triggers.ticks(name, trigger, datetime.now(UTC)):
                triggers.start(name, tick, client, app)

        return by_minute

    def _orchestrate(self, context: Any) -> str:
        from ostinato_azure.shell import orchestrate

        return orchestrate(context.body, self.around)

    def _activity(self, definition: ActivityDefinition) -> Callable[..., Any]:
        limit = self._app.registry.payload_limit
        if definition.is_async:

            async def act_async(payload: Any) -> Any:
                from ostinato_azure.shell import run_async

                return await run_async(definition, payload, limit)

            return act_async

        def act(payload: Any) -> Any:
            from ostinato_azure.shell import run

            return run(definition, payload, limit)

        return act

    def _operate(self, payload: Any, client: str) -> Any:
        from ostinato_azure.shell import operate

        return operate(payload, client, self._app)

    def _is_others(self, kind: str, known_as: str, name: str) -> bool:
        """Whether the function app has a function for this name that is not ours."""
        return any(
            trigger["type"] == kind and (trigger.get(known_as) or function) == name
            for function, trigger in self._indexed.items()
        )

    def _note_when_indexed(self) -> None:
        """Keep what the worker finds in the function app: it can be asked for only once."""
        find = self._target.get_functions

        def get_functions() -> list[Any]:
            found: list[Any] = find()
            for function in found:
                trigger = function.get_trigger()
                if trigger is not None:
                    self._indexed[function.get_function_name()] = trigger.get_dict_repr()
            return found

        vars(self._target)["get_functions"] = get_functions


def _pass(payload: Any) -> None:
    """What a gate does."""


def _fresh(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function object of its own, with the parameters' names and no annotations.

    The worker holds annotations against the bindings' types; each binding's own type is meant.
    """
    import inspect

    bare = [p.replace(annotation=p.empty) for p in inspect.signature(fn).parameters.values()]
    is_async = inspect.iscoroutinefunction(fn)

    async def call_async(*args: Any, **given: Any) -> Any:
        return await fn(*args, **given)

    def call(*args: Any, **given: Any) -> Any:
        return fn(*args, **given)

    made: Callable[..., Any] = call_async if is_async else call
    vars(made)["__signature__"] = inspect.Signature(bare)
    made.__annotations__ = {}
    return made
