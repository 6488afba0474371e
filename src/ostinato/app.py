"""The application: where orchestrations and activities are declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import timedelta
from typing import Any, TypeVar, overload

from ostinato.arguments import count, optional_text, seconds, several, text
from ostinato.definitions import (
    DEFAULT_PAYLOAD_LIMIT,
    HTTP_ACTIVITY,
    ActivityDefinition,
    Isolation,
    Name,
    OrchestrationDefinition,
    Registry,
    activity_signature,
    orchestrator_signature,
    unknown_name,
)
from ostinato.errors import RegistrationError, UnknownNameError
from ostinato.failures import dotted_name
from ostinato.retry import RetryOptions, RetryPolicy, as_policy
from ostinato.triggers import Trigger

F = TypeVar("F", bound=Callable[..., Any])


class App:
    """Everything that one task hub runs.

    Args:
        name: Names the application to people.
        payload_limit: Bytes of JSON that one call input or result may have.
    """

    def __init__(self, name: str = "app", *, payload_limit: int = DEFAULT_PAYLOAD_LIMIT) -> None:
        self.name = text(name, "name of an App")
        self.registry = Registry(payload_limit=count(payload_limit, "payload_limit"))
        self.registry.add_activity(ActivityDefinition(name=HTTP_ACTIVITY, fn=_make_request))

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    @overload
    def activity(self, fn: F, /) -> F: ...
    @overload
    def activity(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        retry: RetryPolicy | RetryOptions | None = None,
        timeout: float | timedelta | None = None,
        isolation: Isolation = "thread",
        max_concurrency: int | None = None,
        raises: Iterable[type[Exception]] | type[Exception] = (),
    ) -> Callable[[F], F]: ...
    def activity(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        retry: RetryPolicy | RetryOptions | None = None,
        timeout: float | timedelta | None = None,
        isolation: Isolation = "thread",
        max_concurrency: int | None = None,
        raises: Iterable[type[Exception]] | type[Exception] = (),
    ) -> Any:
        """Declare an activity: ``@app.activity`` or ``@app.activity(...)``.

        The function is returned unchanged, and may be called as it is in tests. It takes
        nothing, an input, or an input and an `ActivityContext`; it may be async.

        Args:
            name: By default the function's own.
            retry: How calls of it are retried, unless a call says otherwise.
            timeout: Seconds that one attempt may take.
            isolation: ``process`` runs it in a process of its own, which a timeout kills.
            max_concurrency: How many may run at a time in one host.
            raises: Exception classes that orchestrators catch as themselves.

        Raises:
            RegistrationError: The name is taken, or the function cannot be an activity.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._check_activity(function)
            self._declare(raises)
            if isolation not in ("thread", "process"):
                raise RegistrationError(f"isolation is 'thread' or 'process', not {isolation!r}")
            with _Registering():
                at_a_time = (
                    None if max_concurrency is None else count(max_concurrency, "max_concurrency")
                )
                allowed = None if timeout is None else seconds(timeout, "timeout")
                policy = None if retry is None else as_policy(retry)
            self.registry.add_activity(
                ActivityDefinition(
                    name=_name(function, name),
                    fn=function,
                    retry=policy,
                    timeout=allowed,
                    isolation=isolation,
                    max_concurrency=at_a_time,
                )
            )
            return function

        return register if fn is None else register(fn)

    @overload
    def orchestration(self, fn: F, /) -> F: ...
    @overload
    def orchestration(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        version: str | None = None,
        triggers: Iterable[Trigger] | Trigger = (),
        raises: Iterable[type[Exception]] | type[Exception] = (),
        purge_after: float | timedelta | None = None,
    ) -> Callable[[F], F]: ...
    def orchestration(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        version: str | None = None,
        triggers: Iterable[Trigger] | Trigger = (),
        raises: Iterable[type[Exception]] | type[Exception] = (),
        purge_after: float | timedelta | None = None,
    ) -> Any:
        """Declare an orchestration: ``@app.orchestration`` or ``@app.orchestration(...)``.

        The generator function is returned unchanged. It takes the context and, if it wants
        it, the input.

        Args:
            name: By default the function's own.
            version: New instances take the version registered last; each stays on its own.
            triggers: What starts it, beside clients; one or several.
            raises: Exception classes that callers of it catch as themselves.
            purge_after: Seconds after its end at which an instance is forgotten.

        Raises:
            RegistrationError: The name and version are taken, or the function is no generator.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            if not inspect.isgeneratorfunction(inspect.unwrap(function)):
                raise RegistrationError(
                    f"orchestrator {_name(function, name)!r} is no generator function: it has to "
                    "yield the tasks it waits for (an activity is declared with @app.activity)"
                )
            orchestrator_signature(function)
            self._declare(raises)
            with _Registering():
                optional_text(version, "version")
                kept = None if purge_after is None else seconds(purge_after, "purge_after")
            self.registry.add_orchestration(
                OrchestrationDefinition(
                    name=_name(function, name),
                    fn=function,
                    version=version,
                    triggers=_triggers(triggers),
                    purge_after=kept,
                )
            )
            return function

        return register if fn is None else register(fn)

    def foreign_activity(self, name: str) -> str:
        """Declare an activity that another application performs; return its name to call."""
        with _Registering():
            self.registry.add_activity(ActivityDefinition(name=text(name, "name"), fn=None))
        return name

    def foreign_orchestration(self, name: str) -> str:
        """Declare an orchestration that another application runs; return its name to call."""
        with _Registering():
            self.registry.add_orchestration(
                OrchestrationDefinition(name=text(name, "name"), fn=None)
            )
        return name

    def include(self, other: App) -> None:
        """Take over everything that another application declares.

        Raises:
            RegistrationError: A name is declared by both, or the other has a stand-in for the
                activity of `call_http`, which every application has.
        """
        for activity in other.registry.activities():
            if activity.name != HTTP_ACTIVITY:
                self.registry.add_activity(activity)
            elif activity.original is not None:
                raise RegistrationError(
                    f"{HTTP_ACTIVITY!r} is replaced in the application that is taken over, and "
                    "every application has it: replace it in the one that takes over"
                )
        for orchestration in other.registry.orchestrations():
            self.registry.add_orchestration(orchestration)
        self.registry.exceptions.update(other.registry.exceptions)

    # Not Mapping[Name, ...]: type checkers would then refuse a dict of functions by function.
    def replacing(self, activities: Mapping[Any, Callable[..., Any]]) -> App:
        """Return a copy of the application in which other functions stand in for activities.

        It is for tests. Calls reach the stand-in by the activity's name and by its function,
        under the activity's options; but it runs in this process, whatever the isolation. What
        the function does not annotate is of the original's types, and its result always is; a
        mock is called like the original. This application stays as it is, and what is declared
        in it later is not in the copy.

        Args:
            activities: The function to run, by the activity's function or name.

        Raises:
            UnknownNameError: The application has no such activity.
            RegistrationError: A function cannot be an activity, or an activity is given twice.
        """
        functions: dict[str, Callable[..., Any]] = {}
        for given, function in activities.items():
            name = self._activity_name(given)
            if name in functions:
                raise RegistrationError(f"activity {name!r} is replaced twice")
            self._check_stand_in(name, function)
            functions[name] = function
        changed = copy(self)
        changed.registry = self.registry.replacing(functions)
        return changed

    def _activity_name(self, given: Name) -> str:
        definition = self.registry.activity(given)
        if definition is not None:
            return definition.name
        shown = self.registry.name_of(given)
        known = [d.name for d in self.registry.activities()]
        if shown in known:
            raise UnknownNameError(
                f"the function given is not the one that is registered as {shown!r}: "
                "give the name instead"
            )
        raise UnknownNameError(unknown_name("activity", shown, known))

    def _check_stand_in(self, name: str, function: Callable[..., Any]) -> None:
        try:
            self._check_activity(function)
        except TypeError as error:  # inspect's, of Mock(spec=f), which has but the class of one
            raise RegistrationError(
                f"{function!r} cannot stand in for activity {name!r}, since it cannot be read "
                "like a function; of mocks Mock() and create_autospec(...) can"
            ) from error

    def _declare(self, raises: Iterable[type[Exception]] | type[Exception]) -> None:
        for cls in several(raises):
            if not isinstance(cls, type) or not issubclass(cls, Exception):
                raise RegistrationError(f"raises takes Exception classes, not {cls!r}")
            if issubclass(cls, (StopIteration, StopAsyncIteration)):
                raise RegistrationError(
                    f"raises cannot take {cls.__name__}: thrown into a generator it means its end"
                )
            self.registry.exceptions[dotted_name(cls)] = cls

    @staticmethod
    def _check_activity(function: Callable[..., Any]) -> None:
        if not callable(function):
            raise RegistrationError(f"an activity is a function, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise RegistrationError(
                f"activity {_name(function, None)!r} is a generator function; an activity returns "
                "its result (an orchestrator is declared with @app.orchestration)"
            )
        activity_signature(function)


class _Registering:
    """Raises `RegistrationError` for arguments of the wrong type or value.

    Not a `contextlib.contextmanager`, which would put a frame of its own below the user's line.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        is_told = isinstance(error, RegistrationError)
        if isinstance(error, TypeError | ValueError) and not is_told:
            raise RegistrationError(str(error)) from None


def _triggers(given: Iterable[Trigger] | Trigger) -> tuple[Trigger, ...]:
    triggers = several(given)
    for trigger in triggers:
        if not isinstance(trigger, Trigger):
            raise RegistrationError(
                f"triggers takes Http, Queue, Blob and Schedule, one or several, not {trigger!r}"
            )
    return triggers


def _make_request(request: Any) -> Any:
    """Perform `HTTP_ACTIVITY`; its module is not imported until someone makes a request."""
    from ostinato.durable_http import perform

    return perform(request)


def _name(function: Callable[..., Any], name: str | None) -> str:
    chosen = name if name is not None else getattr(function, "__name__", None)
    if not isinstance(chosen, str) or not chosen or chosen == "<lambda>":
        raise RegistrationError(f"{function!r} has no name of its own; give it name=...")
    return chosen
