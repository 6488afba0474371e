from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import ostinato as ost
from ostinato.definitions import DEFAULT_PAYLOAD_LIMIT, HTTP_ACTIVITY
from tests.histories import Flow


class Declined(Exception):
    pass


def size(path: str) -> int:
    return len(path)


def flow(ctx: ost.OrchestrationContext) -> Flow:
    yield from ()


@pytest.fixture
def app() -> ost.App:
    return ost.App("shop")


def test_an_application_has_a_name_and_a_payload_limit():
    assert repr(ost.App("shop")) == "App('shop')"
    assert ost.App("shop").registry.payload_limit == DEFAULT_PAYLOAD_LIMIT == 16 * 1024 * 1024
    assert ost.App("shop", payload_limit=100).registry.payload_limit == 100


def test_every_application_can_make_http_requests(app: ost.App):
    assert [d.name for d in app.registry.activities()] == [HTTP_ACTIVITY]


# Activities


def test_a_bare_decorator_registers_the_function_and_gives_it_back(app: ost.App):
    assert app.activity(size) is size
    definition = app.registry.activity("size")
    assert definition is not None
    assert definition.fn is size
    assert (definition.retry, definition.timeout, definition.isolation) == (None, None, "thread")


def test_a_decorator_with_options_registers_them(app: ost.App):
    policy = ost.RetryPolicy(3)
    options = app.activity(
        name="measure",
        retry=policy,
        timeout=timedelta(minutes=1),
        isolation="process",
        max_concurrency=2,
        raises=[Declined],
    )
    assert options(size) is size
    definition = app.registry.activity("measure")
    assert definition is not None
    assert definition is app.registry.activity(size)
    assert definition.retry == policy
    assert definition.timeout == 60.0
    assert (definition.isolation, definition.max_concurrency) == ("process", 2)
    assert app.registry.exceptions == {f"{__name__}.Declined": Declined}


def test_an_activity_takes_the_retry_options_of_1_x(app: ost.App):
    app.activity(retry=ost.RetryOptions(5000, 3))(size)
    definition = app.registry.activity(size)
    assert definition is not None
    assert definition.retry == ost.RetryPolicy(3, 5.0)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"isolation": "container"}, "isolation is 'thread' or 'process', not 'container'"),
        ({"max_concurrency": 0}, "max_concurrency is 0; it must be 1 or more"),
        ({"timeout": -1}, "timeout is -1"),
        ({"raises": [KeyboardInterrupt]}, "raises takes Exception classes"),
        ({"raises": 5}, "raises takes Exception classes, not 5"),
        ({"raises": ["ValueError"]}, "raises takes Exception classes, not 'ValueError'"),
        ({"raises": [StopIteration]}, "raises cannot take StopIteration"),
        ({"raises": [StopAsyncIteration]}, "raises cannot take StopAsyncIteration"),
    ],
)
def test_options_that_cannot_be_are_refused(app: ost.App, options: dict[str, Any], fault: str):
    with pytest.raises(ValueError, match=fault):
        app.activity(**options)(size)


def test_a_generator_is_no_activity(app: ost.App):
    async def stream() -> Any:
        yield 1

    with pytest.raises(ost.RegistrationError, match=r"'flow' is a generator function.*@app\.orch"):
        app.activity(flow)
    with pytest.raises(ost.RegistrationError, match="'stream' is a generator function"):
        app.activity(stream)


def test_what_is_no_function_is_no_activity(app: ost.App):
    with pytest.raises(ost.RegistrationError, match="an activity is a function, not 7"):
        app.activity(7)  # type: ignore[call-overload]  # pyright: ignore


def test_a_lambda_needs_a_name(app: ost.App):
    with pytest.raises(ost.RegistrationError, match=r"no name of its own; give it name=\.\.\."):
        app.activity(lambda: 1)
    app.activity(name="one")(lambda: 1)
    assert app.registry.activity("one") is not None


def test_an_empty_name_is_refused(app: ost.App):
    with pytest.raises(ost.RegistrationError, match="no name"):
        app.activity(name="")(size)


def test_an_activity_registered_twice_is_refused(app: ost.App):
    app.activity(size)
    with pytest.raises(ost.RegistrationError, match="registered twice"):
        app.activity(size)


def test_the_reserved_activity_cannot_be_replaced(app: ost.App):
    with pytest.raises(ost.RegistrationError, match="registered twice"):
        app.activity(name=HTTP_ACTIVITY)(size)


# Orchestrations


def test_an_orchestrator_is_registered_and_given_back(app: ost.App):
    assert app.orchestration(flow) is flow
    definition = app.registry.orchestration(flow)
    assert definition is not None
    assert (definition.name, definition.version, definition.triggers) == ("flow", None, ())
    assert definition.purge_after is None


def test_an_orchestrators_options_are_registered(app: ost.App):
    trigger = ost.Queue("orders")
    app.orchestration(
        name="order", version="2", triggers=[trigger], raises=[Declined], purge_after=timedelta(1)
    )(flow)
    definition = app.registry.orchestration("order", "2")
    assert definition is not None
    assert definition.triggers == (trigger,)
    assert definition.purge_after == 86_400.0
    assert app.registry.exceptions == {f"{__name__}.Declined": Declined}


def test_an_orchestration_may_have_one_trigger_or_several(app: ost.App):
    queue, route = ost.Queue("orders"), ost.Http("orders")
    app.orchestration(name="one", triggers=queue)(flow)
    app.orchestration(name="two", triggers=iter([route]))(flow)
    assert [d.triggers for d in app.registry.orchestrations()] == [(queue,), (route,)]


@pytest.mark.parametrize(
    ("triggers", "shown"), [("queue", "'queue'"), (["q"], "'q'"), (5, "5"), (ost.Queue, "<class")]
)
def test_what_is_no_trigger_is_refused_at_once(app: ost.App, triggers: Any, shown: str):
    with pytest.raises(ost.RegistrationError, match=f"^triggers takes .*, not {shown}"):
        app.orchestration(triggers=triggers)(flow)


def test_versions_of_an_orchestration_live_side_by_side(app: ost.App):
    app.orchestration(version="1")(flow)
    app.orchestration(version="2")(flow)
    assert [d.version for d in app.registry.orchestrations()] == ["1", "2"]
    with pytest.raises(ost.RegistrationError, match="version '2' is registered twice"):
        app.orchestration(version="2")(flow)


def test_a_plain_function_is_no_orchestrator(app: ost.App):
    with pytest.raises(ost.RegistrationError, match="'size' is no generator function"):
        app.orchestration(size)


def test_a_coroutine_is_no_orchestrator(app: ost.App):
    async def modern(ctx: ost.OrchestrationContext) -> None: ...

    with pytest.raises(ost.RegistrationError, match="'modern' is no generator function"):
        app.orchestration(modern)


def test_an_orchestrator_without_a_context_is_refused_when_it_is_declared(app: ost.App):
    def lonely() -> Flow:
        yield from ()

    with pytest.raises(ost.RegistrationError, match="'lonely' takes 0 parameters"):
        app.orchestration(lonely)


def test_an_empty_version_is_refused(app: ost.App):
    with pytest.raises(ost.RegistrationError, match="version is empty"):
        app.orchestration(version="")(flow)


# Others' functions, and applications together


def test_foreign_functions_are_known_by_name_and_run_elsewhere(app: ost.App):
    assert app.foreign_activity("theirs") == "theirs"
    assert app.foreign_orchestration("their_flow") == "their_flow"
    activity = app.registry.activity("theirs")
    orchestration = app.registry.orchestration("their_flow")
    assert activity is not None
    assert orchestration is not None
    assert activity.fn is orchestration.fn is None


def test_a_foreign_name_is_taken_like_any_other(app: ost.App):
    app.activity(size)
    with pytest.raises(ost.RegistrationError, match="registered twice"):
        app.foreign_activity("size")


def test_an_application_takes_over_what_another_declares(app: ost.App):
    other = ost.App("other")
    other.activity(raises=[Declined])(size)
    other.orchestration(version="1")(flow)
    other.orchestration(version="2")(flow)
    app.include(other)
    assert app.registry.activity(size) is other.registry.activity(size)
    assert [d.version for d in app.registry.orchestrations()] == ["1", "2"]
    assert app.registry.exceptions == {f"{__name__}.Declined": Declined}
    with pytest.raises(ost.RegistrationError, match="registered twice"):
        app.include(other)


# Stand-ins


def tiny(path: str) -> int:
    return 0


def test_an_activity_is_replaced_by_its_function_or_by_its_name(app: ost.App):
    app.activity(name="measure")(size)
    for given in (size, "measure"):
        registry = app.replacing({given: tiny}).registry
        definition = registry.activity("measure")
        assert definition is not None
        assert definition is registry.activity(size)
        assert definition.fn is tiny


def test_the_application_itself_stays_as_it_is_when_activities_are_replaced(app: ost.App):
    app.activity(size)
    app.orchestration(flow)
    copy = app.replacing({size: tiny})
    app.activity(tiny)
    app.orchestration(version="2", raises=Declined)(flow)
    copy.activity(name="other")(tiny)
    assert app.registry.activity("size").fn is size  # type: ignore[union-attr]  # pyright: ignore
    assert [d.name for d in app.registry.activities()] == [HTTP_ACTIVITY, "size", "tiny"]
    assert [d.name for d in copy.registry.activities()] == [HTTP_ACTIVITY, "size", "other"]
    assert [d.version for d in copy.registry.orchestrations()] == [None]
    assert copy.registry.exceptions == {}


def test_a_copy_with_stand_ins_is_otherwise_the_same_application():
    app = ost.App("shop", payload_limit=100)
    app.activity(raises=Declined)(size)
    app.activity(tiny)
    app.orchestration(name="order", version="1")(flow)
    app.orchestration(name="order", version="2")(flow)
    copy = app.replacing({size: tiny})
    assert repr(copy) == "App('shop')"
    assert copy.registry.payload_limit == 100
    assert copy.registry.exceptions == {f"{__name__}.Declined": Declined}
    assert copy.registry.activity(tiny) is app.registry.activity(tiny)
    assert list(copy.registry.orchestrations()) == list(app.registry.orchestrations())
    assert copy.registry.name_of(flow) == "order"


def test_a_stand_in_has_the_options_of_the_activity_but_runs_in_this_process(app: ost.App):
    policy = ost.RetryPolicy(3)
    app.activity(retry=policy, timeout=5, isolation="process", max_concurrency=2)(size)
    definition = app.replacing({size: tiny}).registry.activity(size)
    assert definition is not None
    assert (definition.retry, definition.timeout) == (policy, 5.0)
    assert (definition.isolation, definition.max_concurrency) == ("thread", 2)


def test_a_stand_in_may_be_replaced_in_turn(app: ost.App):
    app.activity(size)
    again = app.replacing({size: lambda: 1}).replacing({size: tiny})
    definition = again.registry.activity(size)
    assert definition is not None
    assert definition.fn is tiny


def test_a_foreign_activity_may_be_replaced(app: ost.App):
    app.foreign_activity("theirs")
    definition = app.replacing({"theirs": tiny}).registry.activity("theirs")
    assert definition is not None
    assert definition.fn is tiny


def test_an_application_takes_over_the_stand_ins_of_another(app: ost.App):
    other = ost.App("other")
    other.activity(size)
    app.include(other.replacing({size: tiny}))
    definition = app.registry.activity(size)
    assert definition is not None
    assert definition.fn is tiny


def test_a_stand_in_for_http_requests_is_never_left_out(app: ost.App):
    with pytest.raises(ost.RegistrationError, match=f"{HTTP_ACTIVITY}.*replace it in the one"):
        app.include(ost.App("other").replacing({HTTP_ACTIVITY: Mock()}))


def test_what_the_application_lacks_cannot_be_replaced(app: ost.App):
    app.activity(size)
    with pytest.raises(ost.UnknownNameError, match=r"'sise' is not in .*; did you mean 'size'\?$"):
        app.replacing({"sise": tiny})
    with pytest.raises(ost.UnknownNameError, match="'tiny' is not in the application; it has: s"):
        app.replacing({tiny: tiny})


def test_a_function_that_only_has_the_name_of_an_activity_cannot_be_replaced(app: ost.App):
    app.activity(name="tiny")(size)
    with pytest.raises(ost.UnknownNameError, match="not the one that is registered as 'tiny'"):
        app.replacing({tiny: size})


def test_an_activity_is_replaced_once(app: ost.App):
    app.activity(size)
    with pytest.raises(ost.RegistrationError, match="'size' is replaced twice"):
        app.replacing({size: tiny, "size": tiny})


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (flow, "generator function"),
        (7, "not 7"),
        (lambda a, b, c: 1, "takes 3 parameters"),
        (Mock(spec=size), r"cannot stand in for activity 'size'.*create_autospec"),
    ],
)
def test_what_cannot_be_an_activity_cannot_stand_in_for_one(
    app: ost.App, function: Any, fault: str
):
    app.activity(size)
    with pytest.raises(ost.RegistrationError, match=fault):
        app.replacing({size: function})


@pytest.mark.parametrize(
    "options",
    [
        {"name": 5},
        {"retry": 3},
        {"timeout": "soon"},
        {"max_concurrency": "two"},
        {"max_concurrency": True},
    ],
)
def test_an_activitys_options_of_the_wrong_type_are_refused(app: ost.App, options: dict[str, Any]):
    with pytest.raises(ost.RegistrationError):
        app.activity(**options)(size)
    assert app.registry.activity("size") is None


def test_a_wrong_option_is_traced_to_the_line_that_gives_it_through_our_code_alone(app: ost.App):
    wrong: Any = 3
    with pytest.raises(ost.RegistrationError) as info:
        app.activity(retry=wrong)(size)
    below = [Path(str(entry.path)) for entry in info.traceback[1:]]
    assert below and all(path.is_relative_to(Path(ost.__file__).parent) for path in below)


@pytest.mark.parametrize("options", [{"name": 5}, {"version": 2}, {"purge_after": "later"}])
def test_an_orchestrations_options_of_the_wrong_type_are_refused(
    app: ost.App, options: dict[str, Any]
):
    with pytest.raises(ost.RegistrationError):
        app.orchestration(**options)(flow)
    assert app.registry.orchestration("flow") is None


@pytest.mark.parametrize("name", [None, 5, "", "\ud800"])
def test_a_foreign_name_is_a_text(app: ost.App, name: Any):
    for declare in (app.foreign_activity, app.foreign_orchestration):
        with pytest.raises(ost.RegistrationError):
            declare(name)


def test_one_exception_class_may_be_declared_alone(app: ost.App):
    options: list[dict[str, Any]] = [{"raises": Declined}, {"raises": ValueError}]
    app.activity(**options[0])(size)
    app.orchestration(**options[1])(flow)
    assert set(app.registry.exceptions.values()) == {Declined, ValueError}
