"""Definitions: what an application declares, and how replay looks it up."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from types import UnionType
from typing import Any, Literal, TypeAlias

import msgspec

from ostinato.errors import RegistrationError
from ostinato.retry import RetryPolicy
from ostinato.triggers import Trigger, taken_by

Isolation: TypeAlias = Literal["thread", "process"]
Name: TypeAlias = str | Callable[..., Any]
"""An activity or orchestration: its registered name, or the function itself."""

HTTP_ACTIVITY = "ostinato.http"
"""The activity that every application has for `OrchestrationContext.call_http`."""

UNVERSIONED = ""
"""In a start: the version that has no name, where leaving it out would mean the newest."""

DEFAULT_PAYLOAD_LIMIT = 16 * 1024 * 1024
"""Bytes of JSON (UTF-8) that one call input or result may have."""


class ActivityDefinition(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An activity: ordinary code that may do anything, run at least once."""

    name: str
    fn: Callable[..., Any] | None
    """None for an activity of someone else's (`App.foreign_activity`)."""
    retry: RetryPolicy | None = None
    timeout: float | None = None
    """Seconds that one attempt may take."""
    isolation: Isolation = "thread"
    max_concurrency: int | None = None
    """How many may run at a time in one host."""
    original: ActivityDefinition | None = None
    """What this stands in for (`App.replacing`)."""

    def replaced_by(self, fn: Callable[..., Any]) -> ActivityDefinition:
        """Return the same activity as another function performs it, in this process."""
        return msgspec.structs.replace(
            self, fn=fn, isolation="thread", original=self.original or self
        )

    @cached_property
    def called_as(self) -> Callable[..., Any] | None:
        """The function by which orchestrators call it; None where they have but the name."""
        return self.fn if self.original is None else self.original.fn

    @cached_property
    def is_async(self) -> bool:
        """Whether it runs on the event loop."""
        return inspect.iscoroutinefunction(self.fn)

    @cached_property
    def signature(self) -> Signature:
        """How the function is called; read at the first use, since annotations are costly."""
        if self.fn is None:
            return _FOREIGN
        if self.original is None:
            return activity_signature(self.fn)
        return stand_in_signature(self.fn, self.original.signature)

    @cached_property
    def input_label(self) -> str:
        """What error messages call the input."""
        return f"input of activity {self.name!r}"

    @cached_property
    def result_label(self) -> str:
        """What error messages call the result."""
        return f"result of activity {self.name!r}"


class OrchestrationDefinition(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An orchestration: deterministic code that yields tasks and is replayed."""

    name: str
    fn: Callable[..., Generator[Any, Any, Any]] | None
    """None for an orchestration of someone else's (`App.foreign_orchestration`)."""
    version: str | None = None
    triggers: tuple[Trigger, ...] = ()
    purge_after: float | None = None
    """Seconds after its end at which an instance is forgotten; None: never."""

    @cached_property
    def signature(self) -> Signature:
        """How the function is called; read at the first use."""
        return orchestrator_signature(self.fn) if self.fn is not None else _FOREIGN

    @cached_property
    def input_label(self) -> str:
        """What error messages call the input."""
        return f"input of orchestration {self.name!r}"

    @cached_property
    def result_label(self) -> str:
        """What error messages call the output."""
        return f"output of orchestration {self.name!r}"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters and types of an activity or orchestrator; Any where not annotated."""

    takes_input: bool
    takes_context: bool
    input_type: Any = Any
    return_type: Any = Any


_FOREIGN = Signature(takes_input=True, takes_context=False)


class ActivityContextMarker:
    """Base of `ActivityContext`, by which a parameter annotated with it is known."""


def activity_signature(fn: Callable[..., Any]) -> Signature:
    """Read ``fn(input?, context?)``.

    Raises:
        RegistrationError: It has parameters that nothing could fill.
    """
    parameters = _positional(fn)
    hints = _hints(fn)
    returned = hints.get("return", Any)
    kinds = [hints.get(parameter.name, parameter.annotation) for parameter in parameters]
    if len(parameters) == 1 and _is_context(kinds[0]):
        return Signature(takes_input=False, takes_context=True, return_type=returned)
    if len(parameters) > 2:
        raise RegistrationError(
            f"activity {_called(fn)} takes {len(parameters)} parameters; an activity takes its "
            "input and, if it wants one, an ActivityContext: pass a dict or a dataclass"
        )
    if len(parameters) == 2 and not _may_be_context(parameters[1], kinds[1]):
        raise RegistrationError(
            f"activity {_called(fn)} takes {parameters[1].name!r} beside its input, and would be "
            "given its ActivityContext there: pass both as one input, a tuple or a dataclass (or "
            f"annotate {parameters[1].name!r} as ActivityContext, if that is what it is)"
        )
    return Signature(
        takes_input=bool(parameters),
        takes_context=len(parameters) == 2,
        input_type=hints.get(parameters[0].name, Any) if parameters else Any,
        return_type=returned,
    )


def stand_in_signature(fn: Callable[..., Any], original: Signature) -> Signature:
    """Read how a function is called that stands in for an activity.

    Its parameters are its own, and so are the types that only it annotates; where it has but
    ``*args``, as a mock does, it is called like the original. The result is of the original's
    type, since that is what orchestrators are given everywhere else.

    Raises:
        RegistrationError: It has parameters that nothing could fill.
    """
    if _takes_anything(fn):
        return original
    own = activity_signature(fn)
    return msgspec.structs.replace(
        own,
        input_type=original.input_type if own.input_type is Any else own.input_type,
        return_type=own.return_type if original.return_type is Any else original.return_type,
    )


def orchestrator_signature(fn: Callable[..., Any]) -> Signature:
    """Read ``fn(context, input?)``.

    Raises:
        RegistrationError: It takes no context, or more than an input beside it.
    """
    parameters = _positional(fn)
    if not 1 <= len(parameters) <= 2:
        raise RegistrationError(
            f"orchestrator {_called(fn)} takes {len(parameters)} parameters; "
            "an orchestrator takes (context) or (context, input)"
        )
    hints = _hints(fn)
    return Signature(
        takes_input=len(parameters) == 2,
        takes_context=True,
        input_type=hints.get(parameters[1].name, Any) if len(parameters) == 2 else Any,
        return_type=_generator_return(hints.get("return", Any)),
    )


def _positional(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that a call must fill: optional third ones are the function's own."""
    parameters = list(inspect.signature(fn).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise RegistrationError(
            f"{_called(fn)} has keyword-only parameters without a default, which nothing can fill"
        )
    required = [p for p in positional if p.default is p.empty]
    return positional if len(positional) <= 2 else required if len(required) > 2 else positional[:2]


def _takes_anything(fn: Callable[..., Any]) -> bool:
    """Whether ``*args`` is all that it says of its positional parameters."""
    kinds = {parameter.kind for parameter in inspect.signature(fn).parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL in kinds and not _positional(fn)


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by parameter name; those that cannot be resolved are left out."""
    target = inspect.unwrap(fn)
    target = getattr(target, "func", target)  # functools.partial
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:
        raw: dict[str, Any] = getattr(target, "__annotations__", None) or {}
        return {name: hint for name, hint in raw.items() if not isinstance(hint, str)}


def _generator_return(hint: Any) -> Any:
    """``R`` of ``Generator[Y, S, R]``."""
    arguments = typing.get_args(hint)
    is_generator = typing.get_origin(hint) is Generator and len(arguments) == 3
    return arguments[2] if is_generator else Any


def _is_context(hint: Any) -> bool:
    """Whether an annotation says `ActivityContext`, as text where its class is not at hand."""
    if isinstance(hint, str):
        return re.search(r"\bActivityContext\b", hint) is not None
    if typing.get_origin(hint) in (typing.Union, UnionType, typing.Annotated):
        return any(_is_context(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, ActivityContextMarker)


def _may_be_context(parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether a second parameter is the context: by its annotation, or by having none at all."""
    is_bare = parameter.annotation is parameter.default is parameter.empty
    return is_bare or _is_context(hint)


def _called(fn: Callable[..., Any]) -> str:
    return repr(getattr(fn, "__name__", None) or type(fn).__name__)


def unknown_name(what: str, shown: str, known: Sequence[str], where: str = "") -> str:
    """Say that an application has no such activity or orchestration, and what it has.

    Args:
        what: ``activity`` or ``orchestration``.
        shown: The name that was asked for.
        known: The names that the application has.
        where: Follows the name, in brackets.
    """
    from difflib import get_close_matches  # not needed until someone errs

    near = get_close_matches(shown, known, n=1)
    others = sorted(other for other in known if not other.startswith("ostinato."))
    known_as = f"it has: {', '.join(others[:20]) or 'none'}."
    hint = f"did you mean {near[0]!r}?" if near else known_as
    return f"{what} {shown!r} is not in the application{where}; {hint}"


def _clash(what: str, one: str, other: str) -> str:
    """Say that two triggers would take the same."""
    if one == other:
        return (
            f"orchestration {one!r} has two triggers that take {what}: leave one out (versions of "
            "an orchestration may share a trigger, if each declares it alike)"
        )
    return (
        f"orchestrations {one!r} and {other!r} both have a trigger that takes {what}, and only one "
        "of them would be started: give one another route, method or queue"
    )


class Registry:
    """Everything that an application declares, for look-up by name or by function."""

    __slots__ = (
        "_activities",
        "_names",
        "_orchestrations",
        "_taken",
        "exceptions",
        "payload_limit",
    )

    def __init__(self, payload_limit: int = DEFAULT_PAYLOAD_LIMIT) -> None:
        self.payload_limit = payload_limit
        self.exceptions: dict[str, type[Exception]] = {}
        """Exception classes raised again as themselves, by dotted name."""
        self._activities: dict[Hashable, ActivityDefinition] = {}
        self._orchestrations: dict[Hashable, dict[str | None, OrchestrationDefinition]] = {}
        self._names: dict[Callable[..., Any], str] = {}
        self._taken: dict[str, tuple[str, Trigger]] = {}
        """The orchestration and trigger that take a route's requests or a queue's messages."""

    def activity(self, name: Name) -> ActivityDefinition | None:
        """Return the activity with this name or function."""
        return self._activities.get(name)

    def orchestration(
        self, name: Name, version: str | None = None
    ) -> OrchestrationDefinition | None:
        """Return a version of the orchestration.

        Args:
            name: Its function or registered name.
            version: `UNVERSIONED` for the one without a version; None for the one registered
                last.
        """
        versions = self._versions(name)
        if version is not None:
            return versions.get(version or None)
        return next(reversed(versions.values()), None)

    def first_version(self, name: Name) -> OrchestrationDefinition | None:
        """Return the version registered first."""
        return next(iter(self._versions(name).values()), None)

    def _versions(self, name: Name) -> dict[str | None, OrchestrationDefinition]:
        return self._orchestrations.get(self.name_of(name), {})

    def name_of(self, name: Name) -> str:
        """Return the registered name of a function; other functions give their own name."""
        if isinstance(name, str):
            return name
        return self._names.get(name) or str(getattr(name, "__name__", name))

    def replacing(self, functions: Mapping[str, Callable[..., Any]]) -> Registry:
        """Return a copy in which other functions perform the activities of these names."""
        copy = Registry(self.payload_limit)
        copy.exceptions = dict(self.exceptions)
        for definition in self.activities():
            fn = functions.get(definition.name)
            copy.add_activity(definition if fn is None else definition.replaced_by(fn))
        copy._orchestrations = {name: dict(has) for name, has in self._orchestrations.items()}
        copy._names = dict(self._names)
        copy._taken = dict(self._taken)
        return copy

    def add_activity(self, definition: ActivityDefinition) -> None:
        """Register an activity under its name and the function that it is called as.

        Raises:
            RegistrationError: The name is taken.
        """
        if definition.name in self._activities:
            raise RegistrationError(
                f"activity {definition.name!r} is registered twice; give one of them name=..."
            )
        self._activities[definition.name] = definition
        if definition.called_as is not None:
            self._activities[definition.called_as] = definition

    def add_orchestration(self, definition: OrchestrationDefinition) -> None:
        """Register a version of an orchestration.

        Raises:
            RegistrationError: The name is taken by the same version, or what one of its triggers
                takes is another trigger's already.
        """
        versions = self._orchestrations.setdefault(definition.name, {})
        if definition.version in versions:
            which = "" if definition.version is None else f" version {definition.version!r}"
            raise RegistrationError(
                f"orchestration {definition.name!r}{which} is registered twice; "
                "give one of them name=... or another version=..."
            )
        self._take(definition)
        versions[definition.version] = definition
        if definition.fn is not None:
            self._names[definition.fn] = definition.name

    def _take(self, definition: OrchestrationDefinition) -> None:
        """Note what its triggers take; versions of it may share a trigger, and nobody else."""
        taken: dict[str, tuple[str, Trigger]] = {}
        for trigger in definition.triggers:
            mine = (definition.name, trigger)
            for what in taken_by(trigger):
                holder = taken.get(what) or self._taken.get(what, mine)
                if what in taken or holder != mine:
                    raise RegistrationError(_clash(what, holder[0], definition.name))
                taken[what] = mine
        self._taken.update(taken)

    def activities(self) -> Iterator[ActivityDefinition]:
        """All activities, in order of registration."""
        return (d for key, d in self._activities.items() if isinstance(key, str))

    def orchestrations(self) -> Iterator[OrchestrationDefinition]:
        """All versions of all orchestrations, in order of registration."""
        return (d for versions in self._orchestrations.values() for d in versions.values())
