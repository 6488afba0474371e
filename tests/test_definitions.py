from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Annotated, Any, Optional
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest

from ostinato.activities import ActivityContext
from ostinato.context import OrchestrationContext
from ostinato.definitions import (
    ActivityDefinition,
    OrchestrationDefinition,
    Registry,
    Signature,
    activity_signature,
    orchestrator_signature,
    stand_in_signature,
)
from ostinato.errors import RegistrationError
from ostinato.triggers import Blob, Http, HttpAuth, Queue, Schedule, Trigger
from tests.histories import Flow

if TYPE_CHECKING:
    from pathlib import Path as Unseen

    import ostinato


def no_input() -> int:
    return 1


def sized(path: str) -> int:
    return len(path)


def watched(path: str, ctx: ActivityContext) -> int:
    return len(path)


def only_watched(ctx: ActivityContext) -> None:
    return None


def told_by_text(path: Unseen, ctx: ostinato.ActivityContext) -> int:
    return 0


def only_told_by_text(ctx: ostinato.ActivityContext) -> int:
    return 0


def perhaps_watched(path: str, ctx: ActivityContext | None = None) -> int:
    return 0


def optionally_watched(path: str, ctx: Optional[ActivityContext]) -> int:  # noqa: UP045
    return 0


def explained(path: str, ctx: Annotated[ActivityContext, "heartbeats"]) -> int:
    return 0


def unannotated(path, ctx):
    return 0


def bare(value):
    return value


async def fetched(path: str) -> bytes:
    return path.encode()


def plain(ctx: OrchestrationContext) -> Flow:
    yield from ()


def typed(ctx: OrchestrationContext, sizes: list[int]) -> Generator[Any, Any, dict[str, int]]:
    yield from ()
    return {}


def told(signature: Signature) -> tuple[bool, bool, Any, Any]:
    return (
        signature.takes_input,
        signature.takes_context,
        signature.input_type,
        signature.return_type,
    )


def shape(fn: Callable[..., Any]) -> tuple[bool, bool, Any, Any]:
    return told(activity_signature(fn))


# How activities are called


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (no_input, (False, False, Any, int)),
        (sized, (True, False, str, int)),
        (watched, (True, True, str, int)),
        (bare, (True, False, Any, Any)),
        (fetched, (True, False, str, bytes)),
    ],
)
def test_an_activity_takes_nothing_its_input_or_its_input_and_a_context(fn: Any, expected: Any):
    assert shape(fn) == expected


@pytest.mark.parametrize("fn", [only_watched, only_told_by_text])
def test_a_single_parameter_that_is_annotated_so_gets_the_context(fn: Any):
    assert shape(fn)[:2] == (False, True)


def test_an_annotation_keeps_its_constraints():
    def short(name: Annotated[str, "at most ten"]) -> None: ...

    assert activity_signature(short).input_type == Annotated[str, "at most ten"]


def test_methods_and_callables_are_activities_too():
    class Greeter:
        def greet(self, name: str) -> str:
            return f"Hello {name}"

        def __call__(self, name: str) -> str:
            return name

    assert shape(Greeter().greet) == (True, False, str, str)
    assert shape(Greeter())[:2] == (True, False)
    assert shape(functools.partial(sized)) == (True, False, str, int)


@pytest.mark.parametrize(
    "fn", [told_by_text, perhaps_watched, optionally_watched, explained, unannotated]
)
def test_a_second_parameter_is_the_context_if_it_says_so_or_says_nothing(fn: Any):
    assert shape(fn)[:2] == (True, True)


def counted(url: str, attempts: int = 3) -> int:
    return attempts


def defaulted(url, attempts=3):
    return attempts


def two_inputs(url: str, attempts: int) -> int:
    return attempts


def two_unresolved(url: Unseen, attempts: Unseen) -> int:
    return 0


def swapped(ctx: ActivityContext, attempts: str) -> int:
    return 0


@pytest.mark.parametrize("fn", [counted, defaulted, two_inputs, two_unresolved, swapped])
def test_a_second_parameter_that_is_something_else_is_refused_with_the_mend(fn: Any):
    with pytest.raises(
        RegistrationError, match=rf"'{fn.__name__}' takes 'attempts' beside .*as one input"
    ):
        activity_signature(fn)


def test_parameters_with_defaults_beyond_the_second_stay_the_functions_own():
    def measured(path: str, ctx: ActivityContext, unit: str = "bytes") -> int:
        return len(path)

    assert shape(measured) == (True, True, str, int)


def test_more_parameters_than_can_be_filled_are_refused_with_the_mend():
    def greedy(a: int, b: int, c: int) -> None: ...

    with pytest.raises(RegistrationError, match=r"'greedy' takes 3 parameters.*pass a dict"):
        activity_signature(greedy)


def test_a_keyword_that_nothing_fills_is_refused():
    def strict(path: str, *, unit: str) -> None: ...

    def lenient(path: str, *, unit: str = "bytes") -> None: ...

    with pytest.raises(RegistrationError, match="'strict' has keyword-only parameters"):
        activity_signature(strict)
    assert activity_signature(lenient).takes_input


def test_annotations_that_cannot_be_resolved_mean_anything():
    def vague(value: Nonexistent) -> Nonexistent: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    assert shape(vague) == (True, False, Any, Any)


def test_a_decorated_activity_is_read_through_its_wrapper():
    @functools.wraps(sized)
    def wrapper(*args: Any) -> Any:
        return sized(*args)

    assert shape(wrapper) == (True, False, str, int)


# How stand-ins are called


def replaced(original: Callable[..., Any], fn: Callable[..., Any]) -> tuple[bool, bool, Any, Any]:
    return told(stand_in_signature(fn, activity_signature(original)))


@pytest.mark.parametrize(
    ("original", "fn", "expected"),
    [
        (watched, bare, (True, False, str, int)),
        (sized, no_input, (False, False, str, int)),
        (no_input, sized, (True, False, str, int)),
        (sized, only_watched, (False, True, str, int)),
    ],
)
def test_a_stand_in_has_parameters_of_its_own_and_types_of_the_original(
    original: Any, fn: Any, expected: Any
):
    assert replaced(original, fn) == expected


def test_a_stand_in_may_take_its_input_as_another_type_but_gives_a_result_of_the_originals():
    def other(path: bytes) -> bytes:
        return path

    assert replaced(sized, other) == (True, False, bytes, int)
    assert replaced(bare, other) == (True, False, bytes, bytes)


@pytest.mark.parametrize("mock", [Mock(), AsyncMock()])
@pytest.mark.parametrize("original", [no_input, sized, watched, only_watched])
def test_a_mock_is_called_like_what_it_stands_in_for(original: Any, mock: Any):
    assert stand_in_signature(mock, activity_signature(original)) == activity_signature(original)


def test_a_stand_in_of_more_than_args_is_called_by_its_parameters():
    def first(path, *rest):
        return 0

    assert replaced(watched, first) == (True, False, str, int)


def test_a_mock_with_a_signature_is_called_by_it():
    assert replaced(watched, create_autospec(sized)) == (True, False, str, int)


def test_an_async_mock_may_be_an_activity():
    assert shape(AsyncMock()) == (False, False, Any, Any)


# How orchestrators are called


def test_an_orchestrator_takes_the_context_and_perhaps_the_input():
    assert not orchestrator_signature(plain).takes_input
    signature = orchestrator_signature(typed)
    assert signature.takes_input
    assert signature.input_type == list[int]
    assert signature.return_type == dict[str, int]


def test_an_orchestrator_without_a_generator_annotation_returns_anything():
    assert orchestrator_signature(plain).return_type is Any


@pytest.mark.parametrize("count", [0, 3])
def test_an_orchestrator_of_another_shape_is_refused(count: int):
    shapes: dict[int, Callable[..., Any]] = {0: lambda: (yield), 3: lambda a, b, c: (yield)}
    with pytest.raises(RegistrationError, match=f"takes {count} parameters; an orchestrator"):
        orchestrator_signature(shapes[count])


# Definitions


def test_a_definition_is_constant():
    definition = ActivityDefinition(name="sized", fn=sized)
    with pytest.raises(AttributeError):
        definition.name = "x"  # type: ignore[misc]  # pyright: ignore


def test_a_definition_knows_whether_it_runs_on_the_loop():
    assert ActivityDefinition(name="f", fn=fetched).is_async
    assert not ActivityDefinition(name="s", fn=sized).is_async


def test_foreign_functions_take_and_give_anything():
    activity = ActivityDefinition(name="theirs", fn=None)
    orchestration = OrchestrationDefinition(name="theirs", fn=None)
    for signature in (activity.signature, orchestration.signature):
        assert (signature.input_type, signature.return_type) == (Any, Any)
    assert not activity.is_async


def test_error_messages_name_the_payload_and_its_owner():
    activity = ActivityDefinition(name="sized", fn=sized)
    orchestration = OrchestrationDefinition(name="plain", fn=plain)
    assert activity.input_label == "input of activity 'sized'"
    assert activity.result_label == "result of activity 'sized'"
    assert orchestration.input_label == "input of orchestration 'plain'"
    assert orchestration.result_label == "output of orchestration 'plain'"


# The registry


def test_activities_are_found_by_name_and_by_function():
    registry = Registry()
    definition = ActivityDefinition(name="size", fn=sized)
    registry.add_activity(definition)
    assert registry.activity("size") is definition
    assert registry.activity(sized) is definition
    assert registry.activity("sized") is None
    assert registry.activity(no_input) is None


def test_a_bound_method_is_found_again():
    class Greeter:
        def greet(self) -> None: ...

    greeter = Greeter()
    registry = Registry()
    registry.add_activity(ActivityDefinition(name="greet", fn=greeter.greet))
    assert registry.activity(greeter.greet) is not None


def test_orchestrations_are_found_by_name_function_and_version():
    registry = Registry()
    first = OrchestrationDefinition(name="flow", fn=plain, version="1")
    second = OrchestrationDefinition(name="flow", fn=typed, version="2")
    registry.add_orchestration(first)
    registry.add_orchestration(second)
    assert registry.orchestration("flow", "1") is first
    assert registry.orchestration("flow") is second
    assert registry.orchestration(plain) is second
    assert registry.orchestration("flow", "3") is None
    assert registry.first_version("flow") is first
    assert registry.first_version("other") is None


def test_the_version_registered_last_counts_whatever_it_is_called():
    registry = Registry()
    for version in ("2", "10", "1", None):
        registry.add_orchestration(OrchestrationDefinition(name="f", fn=plain, version=version))
    last = registry.orchestration("f")
    assert last is not None
    assert last.version is None


def test_a_name_is_taken_once_and_the_error_says_what_to_do():
    registry = Registry()
    registry.add_activity(ActivityDefinition(name="a", fn=sized))
    registry.add_orchestration(OrchestrationDefinition(name="o", fn=plain, version="1"))
    with pytest.raises(RegistrationError, match=r"activity 'a' is registered twice.*name=\.\.\."):
        registry.add_activity(ActivityDefinition(name="a", fn=no_input))
    with pytest.raises(RegistrationError, match=r"'o' version '1' is registered twice"):
        registry.add_orchestration(OrchestrationDefinition(name="o", fn=typed, version="1"))
    assert registry.activity(sized) is registry.activity("a")
    assert registry.activity(no_input) is None


def started_by(
    registry: Registry, name: str, *triggers: Trigger, version: str | None = None
) -> None:
    registry.add_orchestration(
        OrchestrationDefinition(name=name, fn=plain, version=version, triggers=triggers)
    )


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        (Http("x/{a}"), Http("X/{b}"), "POST /api/x/{}"),
        (Http("x", ("GET", "POST")), Http("x", ("PUT", "GET")), "GET /api/x"),
        (Queue("orders"), Queue("orders"), "queue 'orders'"),
    ],
)
def test_what_only_one_can_take_is_one_orchestrations(one: Trigger, other: Trigger, taken: str):
    registry = Registry()
    started_by(registry, "first", one)
    with pytest.raises(RegistrationError) as info:
        started_by(registry, "second", other)
    for part in ("'first' and 'second'", taken, "give one another route, method or queue"):
        assert part in str(info.value)
    assert [d.name for d in registry.orchestrations()] == ["first"]
    with pytest.raises(RegistrationError, match=r"'third' has two triggers that take .*leave one"):
        started_by(Registry(), "third", one, other)


def test_triggers_that_do_not_get_into_each_others_way_may_be_had_by_all():
    registry = Registry()
    blob, tick = Blob("incoming/{name}"), Schedule("0 2 * * *")
    started_by(registry, "first", Http("x/{a}"), Queue("orders"), blob, tick)
    started_by(registry, "second", Http("x/{a}", ("GET",)), Http("x/new"), blob, tick)
    started_by(registry, "third", Http("x"), Http("x/{a}/{b}"), Queue("orders-2"))
    assert len(list(registry.orchestrations())) == 3


def test_versions_of_an_orchestration_share_their_triggers_if_they_declare_them_alike():
    registry = Registry()
    for version in ("1", "2"):
        started_by(registry, "flow", Http("x/{a}"), Queue("orders"), version=version)
    secured = Http("x/{a}", auth=HttpAuth(key_env="KEY"))
    with pytest.raises(RegistrationError, match=r"'flow' has two triggers .* declares it alike"):
        started_by(registry, "flow", secured, version="3")


def test_a_copy_with_stand_ins_keeps_what_triggers_take():
    registry = Registry()
    started_by(registry, "first", Queue("orders"))
    with pytest.raises(RegistrationError, match="'first' and 'second'"):
        started_by(registry.replacing({}), "second", Queue("orders"))


def test_an_activity_and_an_orchestration_may_share_a_name():
    registry = Registry()
    registry.add_activity(ActivityDefinition(name="x", fn=sized))
    registry.add_orchestration(OrchestrationDefinition(name="x", fn=plain))
    assert registry.activity("x") is not None
    assert registry.orchestration("x") is not None


def test_an_activity_that_is_replaced_again_stands_in_for_the_first():
    original = ActivityDefinition(name="size", fn=sized)
    again = original.replaced_by(bare).replaced_by(no_input)
    assert (again.original, again.fn, again.called_as) == (original, no_input, sized)


def test_everything_is_listed_once_in_order_of_registration():
    registry = Registry()
    for name, fn in (("b", sized), ("a", None)):
        registry.add_activity(ActivityDefinition(name=name, fn=fn))
    for version in ("2", "1"):
        registry.add_orchestration(OrchestrationDefinition(name="o", fn=plain, version=version))
    assert [d.name for d in registry.activities()] == ["b", "a"]
    assert [d.version for d in registry.orchestrations()] == ["2", "1"]


def test_functions_go_by_their_registered_name():
    registry = Registry()
    registry.add_orchestration(OrchestrationDefinition(name="flow", fn=plain))
    assert registry.name_of(plain) == "flow"
    assert registry.name_of("as it is") == "as it is"
    assert registry.name_of(sized) == "sized"
