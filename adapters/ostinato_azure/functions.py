"""The function app: every orchestration and activity of an application as an Azure function.

Functions are registered by their generic bindings on an `azure.functions.FunctionApp`, with no
decorator of the Durable SDK's, so that the app lives beside functions of its 1.x and of its 2.x:
which protocol the extension speaks is then theirs to choose, and each request is answered on the
one that it came in.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from ostinato.app import App
from ostinato.definitions import ActivityDefinition
from ostinato.errors import CodecError, PayloadTooLargeError, RegistrationError
from ostinato.triggers import Blob, Http, Queue, Schedule, Trigger
from ostinato_azure.account import STORAGE
from ostinato_azure.live import MOST_BYTES, LiveTables
from ostinato_azure.names import CLIENT, DURABLE, GATE, Names
from ostinato_azure.table import Surroundings

if TYPE_CHECKING:
    from datetime import datetime

    import azure.functions as func

LIVE_VARIABLE = "OSTINATO_LIVE_BYTES"
"""The app setting that says what executions kept between turns may take; 0 keeps none."""

CHATTY = ("azure.core.pipeline.policies.http_logging_policy", "azure.identity", "httpx")
"""Loggers that tell of every request at INFO: of each event, claim and tick there are several, and
Application Insights would be paid to keep them."""

_NOT_NOW = "what this needs does not answer now; with an Idempotency-Key, ask again"
_SOON = {"Retry-After": "5"}

_logger = logging.getLogger(__name__)


class Functions:
    """Registers an application's functions on a function app.

    Args:
        app: The application.
        target: The function app, which may have functions of its own.
        grpc: Whether to ask the extension for the Durable Task protocol.

    Raises:
        RegistrationError: ``OSTINATO_LIVE_BYTES`` is no number of bytes.
    """

    def __init__(self, app: App, target: func.FunctionRegister, *, grpc: bool) -> None:
        self._app = app
        self._target = target
        self._grpc = grpc
        self._live = LiveTables(_live_bytes(os.environ))
        self._names = Names()
        self._ours: list[Any] = []
        self._others: set[tuple[str, str]] = set()
        """Kinds and names, in lower case, of what is in the function app and not ours."""
        self.around = Surroundings(
            registry=app.registry,
            has_activity=lambda name: ("activity", name.lower()) in self._others,
            has_orchestration=lambda name: ("orchestration", name.lower()) in self._others,
        )

    def register(self) -> None:
        """Register everything.

        Raises:
            RegistrationError: The Functions host would take two of the names for one.
        """
        self._activity(GATE, _pass)
        self._activity(CLIENT, self._operate, client=True)
        registry = self._app.registry
        for name in dict.fromkeys(d.name for d in registry.orchestrations() if d.fn is not None):
            self._orchestration(name)
        for definition in registry.activities():
            if definition.fn is not None:
                self._activity(definition.name, self._performer(definition))
        started = ((d.name, trigger) for d in registry.orchestrations() for trigger in d.triggers)
        for name, trigger in dict.fromkeys(started):  # versions may have a trigger in common
            self._start_by(name, trigger)
        if any(d.purge_after is not None for d in registry.orchestrations()):
            self._forget()
        self._note_others()
        self._note_others_when_indexed()
        for logger in map(logging.getLogger, CHATTY):
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)

    def _orchestration(self, name: str) -> None:
        self._names.keep("orchestration", name)
        settings = self._durable(orchestration=name)
        self._add(name, self._orchestrate, "context", "orchestrationTrigger", **settings)

    def _activity(self, name: str, fn: Callable[..., Any], *, client: bool = False) -> None:
        self._names.keep("activity", name)
        settings = self._durable(activity=name)
        self._add(name, fn, "payload", "activityTrigger", client=client, **settings)

    def _durable(self, **settings: Any) -> dict[str, Any]:
        """Settings of a trigger of the Durable extension's."""
        return {**settings, "durableRequiresGrpc": True} if self._grpc else settings

    def _start_by(self, name: str, trigger: Trigger) -> None:
        """Register the function by which a trigger starts an orchestration."""
        match trigger:
            case Http():
                self._add(
                    f"{name}_http",
                    self._http_starter(name, trigger),
                    "request",
                    "httpTrigger",
                    client=True,
                    answers="http",
                    route=trigger.route,
                    methods=list(trigger.methods),
                    auth_level="ANONYMOUS",  # HttpAuth, if any, is asked for by the function
                )
            case Queue():
                self._add(
                    f"{name}_queue",
                    self._starter(name, "queue_message"),
                    "message",
                    "queueTrigger",
                    client=True,
                    queueName=trigger.name,
                    connection=STORAGE,
                )
            case Blob():
                self._add(
                    f"{name}_blob",
                    self._starter(name, "blob_created"),
                    "blob",
                    "blobTrigger",
                    client=True,
                    path=trigger.pattern,
                    connection=STORAGE,
                    source="EventGrid",
                )
            case Schedule():
                from datetime import UTC, datetime

                from ostinato_azure.timers import timer_of

                seen = datetime.now(UTC)
                self._add(
                    f"{name}_schedule",
                    self._scheduler(name, trigger, seen),
                    "timer",
                    "timerTrigger",
                    client=True,
                    schedule=timer_of(trigger, seen),
                )
            case _:
                assert_never(trigger)

    def _add(
        self,
        wanted: str,
        fn: Callable[..., Any],
        argument: str,
        kind: str,
        *,
        client: bool = False,
        answers: str | None = None,
        **settings: Any,
    ) -> None:
        """Register a function.

        Args:
            wanted: Its name, if that is one and free.
            fn: Takes what the trigger brings and, with ``client``, the durable client's text.
            argument: What the trigger's binding is called.
            kind: The trigger's type.
            client: Whether it has the durable client.
            answers: Type of the binding of what it returns, where the trigger implies none.
            settings: The trigger's.
        """
        target: Any = self._target  # its own annotations leave the bindings' settings open
        function = _taking(fn, argument, "client") if client else _taking(fn, argument)
        bound = target.generic_trigger(arg_name=argument, type=kind, **settings)(function)
        if answers is not None:
            bound = target.generic_output_binding(arg_name="$return", type=answers)(bound)
        if client:
            bound = target.generic_input_binding(arg_name="client", type="durableClient")(bound)
        chosen = self._names.choose(wanted)
        self._ours.append(target.function_name(chosen)(bound))

    def _forget(self) -> None:
        """Register the function that forgets instances whose time is up."""
        from ostinato_azure.retention import TIMER

        app = self._app

        def forget(timer: Any, client: str) -> None:
            from contextlib import closing
            from datetime import UTC, datetime

            from ostinato_azure.claims import app_claims
            from ostinato_azure.client import AzureClient
            from ostinato_azure.retention import forget_expired

            made = AzureClient.from_binding(client, app=app, claims=app_claims())
            with closing(made):
                forget_expired(datetime.now(UTC), made, app.registry)

        self._add("ostinato_purge", forget, "timer", "timerTrigger", client=True, schedule=TIMER)

    def _http_starter(self, name: str, trigger: Http) -> Callable[..., Any]:
        app = self._app

        def starter(request: Any, client: str) -> Any:
            import azure.functions as func

            from ostinato_azure import triggers
            from ostinato_azure.claim_text import ClaimError
            from ostinato_azure.records import RecordError
            from ostinato_azure.webhook import AzureError

            event = triggers.http_request(request)
            if not triggers.is_allowed(trigger.auth, event):
                return func.HttpResponse(
                    "the key or signature is missing or wrong", status_code=401
                )
            try:
                instance_id = triggers.start(name, event, client, app)
            except CodecError as error:
                return func.HttpResponse(str(error), status_code=400)
            except PayloadTooLargeError as error:
                return func.HttpResponse(str(error), status_code=413)
            except (RecordError, AzureError, ClaimError):
                # Who calls may be anybody, and is told nothing of what is behind the app.
                _logger.exception("a request could not start %s", name)
                return func.HttpResponse(_NOT_NOW, status_code=503, headers=_SOON)
            body = msgspec.json.encode({"id": instance_id})
            return func.HttpResponse(body, status_code=202, mimetype="application/json")

        return starter

    def _starter(self, name: str, reading: str) -> Callable[..., Any]:
        app = self._app

        def starter(given: Any, client: str) -> None:
            from ostinato_azure import triggers

            triggers.start(name, getattr(triggers, reading)(given), client, app)

        return starter

    def _scheduler(self, name: str, trigger: Schedule, seen: datetime) -> Callable[..., Any]:
        app = self._app

        def when_due(timer: Any, client: str) -> None:
            from datetime import UTC, datetime

            from ostinato_azure import triggers

            triggers.start_due(name, trigger, datetime.now(UTC), client, app, seen=seen)

        return when_due

    def _orchestrate(self, context: Any) -> str:
        from ostinato_azure.shell import orchestrate

        return orchestrate(context.body, self.around, self._live)

    def _performer(self, definition: ActivityDefinition) -> Callable[..., Any]:
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

    def _note_others(self) -> None:
        """Note the functions of others, and refuse those with a name of ours."""
        target: Any = self._target
        ours = {id(builder) for builder in self._ours}
        for builder in target._function_builders:  # get_functions gives them only once
            if id(builder) in ours:
                continue
            function = builder.build()
            name, trigger = function.get_function_name(), function.get_trigger().get_dict_repr()
            for kind in DURABLE:
                if trigger["type"] == f"{kind}Trigger":
                    durable_name = trigger.get(kind) or name
                    self._names.refuse(kind, durable_name)
                    self._others.add((kind, durable_name.lower()))
            self._names.refuse("function", name)

    def _note_others_when_indexed(self) -> None:
        """Functions may be added to the app until the worker asks for them."""
        find = self._target.get_functions

        def get_functions() -> list[Any]:
            self._note_others()
            _refuse_payload_store()
            return find()

        vars(self._target)["get_functions"] = get_functions


def _live_bytes(settings: Mapping[str, str]) -> int:
    given = settings.get(LIVE_VARIABLE) or str(MOST_BYTES)
    if not (given.isascii() and given.isdigit()):
        raise RegistrationError(f"{LIVE_VARIABLE} is a number of bytes, not {given!r}")
    return int(given)


def _refuse_payload_store() -> None:
    """What 2.x has put into a store of its own would reach our functions as a reference."""
    payloads = sys.modules.get("azure.durable_functions.internal.payloads")
    if payloads is not None and payloads.get_payload_store() is not None:
        raise RegistrationError(
            "configure_large_payloads() is for apps of azure-functions-durable alone: the "
            "application's functions beside them cannot read what it stores"
        )


def _pass(payload: Any) -> None:
    """What a gate does."""


def _taking(fn: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """A function object of its own, with parameters of these names and no annotations.

    The worker passes arguments by name, and holds annotations against the bindings' types; each
    binding's own type is meant.
    """
    import inspect

    async def call_async(**given: Any) -> Any:
        return await fn(*(given[name] for name in names))

    def call(**given: Any) -> Any:
        return fn(*(given[name] for name in names))

    made: Callable[..., Any] = call_async if inspect.iscoroutinefunction(fn) else call
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in names]
    vars(made)["__signature__"] = inspect.Signature(parameters)
    made.__annotations__ = {}
    return made
