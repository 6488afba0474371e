from __future__ import annotations

import abc
import json
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import InstanceExistsError, TaskCancelledError, TaskFailedError
from ostinato.failures import (
    ACTIVITY_ERROR,
    ARGS_LIMIT,
    DEPTH_LIMIT,
    SUB_ORCHESTRATION_ERROR,
    TEXT_LIMIT,
    Failure,
    dotted_name,
    error_from,
    failure_of,
    unstructured,
)


class InsufficientFunds(Exception):
    pass


class Overdrawn(InsufficientFunds):
    def __init__(self, *, account: str) -> None:
        raise AssertionError("never run again")


class Slotted(KeyError):
    __slots__ = ("detail",)


class Abstract(Exception, metaclass=abc.ABCMeta):
    pass


@dataclass(frozen=True)
class Frozen(Exception):
    amount: int


class Registered(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses, please")


class DiskError(OSError):
    def __new__(cls, *arguments: Any) -> DiskError:
        return super().__new__(cls, *arguments)


class Ended(StopIteration):
    pass


class Ours(TaskFailedError):
    pass


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


DECLARED: Mapping[str, type[Exception]] = {
    dotted_name(cls): cls
    for cls in (InsufficientFunds, Overdrawn, Slotted, Abstract, Frozen, DiskError, Ended, Ours)
}


def caught(error: BaseException) -> BaseException:
    """``error`` as it is after being raised, traceback and context included."""
    try:
        raise error
    except BaseException as raised:
        return raised


def again(error: BaseException, declared: Mapping[str, type[Exception]] = DECLARED) -> Any:
    """What the orchestrator gets for an activity's error, after a trip through storage."""
    stored = msgspec.msgpack.encode(failure_of(caught(error), task="pay"))
    return error_from(msgspec.msgpack.decode(stored, type=Failure), declared)


def chain_of(failure: Failure | None) -> list[str]:
    types: list[str] = []
    while failure is not None:
        types.append(failure.type)
        failure = failure.cause
    return types


# An exception as a failure


def test_a_failure_tells_type_message_bases_arguments_task_and_attempt():
    failure = failure_of(caught(FileExistsError(17, "taken")), task="copy", attempt=2)
    assert failure.type == "FileExistsError"
    assert failure.message == "[Errno 17] taken"
    assert failure.bases == ("builtins.FileExistsError", "builtins.OSError", "builtins.Exception")
    assert failure.args == '[17,"taken"]'
    assert (failure.task, failure.attempt) == ("copy", 2)
    assert failure.traceback.startswith("Traceback (most recent call last)")
    assert failure.traceback.endswith("FileExistsError: [Errno 17] taken\n")


def test_bases_leave_out_mixins_that_are_no_exceptions():
    class Mixin:
        pass

    class Mixed(Mixin, ValueError):
        pass

    bases = failure_of(Mixed()).bases
    assert bases == (dotted_name(Mixed), "builtins.ValueError", "builtins.Exception")


def test_a_class_of_the_main_script_has_one_name_in_every_process():
    class Local(Exception):
        __module__ = "__ostinato_main__"
        __qualname__ = "Local"

    assert dotted_name(Local) == "__main__.Local"


def test_what_led_to_an_error_is_its_cause():
    try:
        try:
            raise KeyError("row")
        except KeyError as error:
            raise ValueError("bad row") from error
    except ValueError as error:
        failure = failure_of(error)
    assert chain_of(failure) == ["ValueError", "KeyError"]
    assert "KeyError" not in failure.traceback, "each failure has a traceback of its own"


def test_an_error_while_handling_another_keeps_it_as_cause():
    try:
        try:
            raise KeyError("row")
        except KeyError:
            raise ValueError("bad row")  # noqa: B904  # the very point
    except ValueError as error:
        assert chain_of(failure_of(error)) == ["ValueError", "KeyError"]


def test_a_suppressed_context_is_no_cause():
    try:
        try:
            raise KeyError("row")
        except KeyError:
            raise ValueError("bad row") from None
    except ValueError as error:
        assert failure_of(error).cause is None


def test_a_falsy_cause_counts():
    class Empty(Exception):
        def __bool__(self) -> bool:
            return False

    error = ValueError()
    error.__cause__ = Empty()
    assert chain_of(failure_of(error)) == ["ValueError", "Empty"]


def test_causes_that_go_in_a_circle_end():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    assert chain_of(failure_of(first)) == ["ValueError", "KeyError"]


def test_causes_are_kept_to_a_bounded_depth():
    error = ValueError(0)
    for number in range(1, 50):
        outer = ValueError(number)
        outer.__cause__ = error
        error = outer
    failure = failure_of(error)
    assert len(chain_of(failure)) == DEPTH_LIMIT
    assert failure.args == "[49]"


def test_a_failed_task_keeps_the_inner_failure_and_has_it_as_cause():
    inner = failure_of(caught(Overdrawn.__new__(Overdrawn, 3)), task="pay", attempt=4)
    failure = failure_of(caught(error_from(inner, DECLARED)), task="order")
    assert (failure.type, failure.message) == (inner.type, inner.message)
    assert (failure.bases, failure.args) == (inner.bases, inner.args)
    assert (failure.task, failure.attempt) == ("order", 1)
    assert failure.cause == inner
    assert "caught" in failure.traceback


def test_failures_through_many_generations_stay_bounded():
    failure = failure_of(ValueError("deep"))
    for level in range(30):
        failure = failure_of(error_from(failure, {}), task=f"level {level}")
    assert chain_of(failure) == ["ValueError"] * DEPTH_LIMIT
    assert failure.message == "deep"


def test_an_error_raised_from_a_failed_task_has_its_failure_down_the_chain():
    inner = failure_of(ValueError("inner"), task="pay")
    error = KeyError("outer")
    error.__cause__ = error_from(inner, {})
    failure = failure_of(error)
    assert chain_of(failure) == ["KeyError", "ValueError", "ValueError"]


def test_a_subclass_of_ours_without_a_failure_is_an_ordinary_error():
    failure = failure_of(Ours.__new__(Ours, "x"))
    assert (failure.type, failure.cause) == ("Ours", None)


def test_a_long_traceback_keeps_its_end():
    failure = failure_of(caught(ValueError("é" * TEXT_LIMIT + "the end")))
    assert len(failure.traceback.encode()) <= TEXT_LIMIT
    assert failure.traceback.endswith("the end\n")


def test_a_long_message_keeps_its_beginning():
    failure = failure_of(ValueError("it began" + "é" * TEXT_LIMIT))
    assert failure.message.startswith("it began")
    assert failure.message.endswith("é…")
    assert len(failure.message.encode()) <= TEXT_LIMIT + len("…".encode())


def test_a_message_that_cannot_be_made_is_survived():
    failure = failure_of(caught(Silent()))
    assert failure.message == "<its message cannot be shown: __str__ raised RuntimeError>"
    assert "Silent" in failure.traceback


def test_notes_that_cannot_be_read_are_survived():
    class Noted(Exception):
        def __getattribute__(self, name: str) -> Any:
            if name == "__notes__":
                raise RuntimeError("no notes")
            return super().__getattribute__(name)

    assert failure_of(caught(Noted("x"))).message == "x"


def test_undecodable_file_names_do_not_keep_a_failure_from_being_stored():
    name = os.fsdecode(b"caf\xe9")
    error = again(FileNotFoundError(2, "No such file", name))
    assert "caf\\udce9" in error.failure.message
    assert (error.errno, error.filename) == (2, "caf\\udce9")


@pytest.mark.parametrize(
    "arguments",
    [(float("nan"),), ([None, float("inf")],), (object(),), ("x" * ARGS_LIMIT,), ("\udcff",)],
    ids=["nan", "nested infinity", "object", "too long", "surrogate"],
)
def test_arguments_that_json_cannot_hold_are_left_out(arguments: tuple[Any, ...]):
    assert failure_of(ValueError(*arguments)).args is None


def test_arguments_may_hold_none():
    assert failure_of(ValueError(None, {"a": [None]})).args == '[null,{"a":[null]}]'


def test_arguments_that_refer_to_themselves_are_left_out():
    circle: list[Any] = []
    circle.append(circle)
    assert failure_of(ValueError(circle)).args is None


def test_arguments_that_cannot_be_read_are_left_out():
    class Odd(Exception):
        def __getattribute__(self, name: str) -> Any:
            if name == "args":
                raise RuntimeError("no")
            return super().__getattribute__(name)

    assert failure_of(Odd()).args is None


@given(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_every_failure_can_be_stored_and_raised(message: str, argument: Any):
    error = again(ValueError(message, argument))
    json.loads(error.failure.args or "[]")
    assert isinstance(error, ValueError)


# A failure as an exception


def test_a_builtin_is_raised_as_itself_and_as_a_failed_task():
    error = again(ZeroDivisionError("by zero"), {})
    assert isinstance(error, ZeroDivisionError)
    assert isinstance(error, TaskFailedError)
    assert error.args == ("by zero",)
    assert error.failure.task == "pay"
    assert str(error) == "by zero"
    with pytest.raises(ArithmeticError):
        raise error


def test_the_class_goes_by_the_original_name():
    shown = "".join(traceback.format_exception(again(InsufficientFunds("no"))))
    assert shown == f"{__name__}.InsufficientFunds: no\n"
    assert type(again(KeyError("k"))).__qualname__ == "KeyError"
    assert repr(again(KeyError("k"))) == "KeyError('k')"


def test_a_declared_class_is_raised_without_running_its_init():
    error = again(Overdrawn.__new__(Overdrawn, "ada", 3))
    assert isinstance(error, Overdrawn)
    assert error.args == ("ada", 3)


def test_an_undeclared_class_becomes_its_nearest_known_base():
    only_base = {dotted_name(InsufficientFunds): InsufficientFunds}
    error = again(Overdrawn.__new__(Overdrawn), only_base)
    assert error.failure.type == "Overdrawn"
    assert isinstance(error, InsufficientFunds)
    assert not isinstance(error, Overdrawn)


def test_an_unknown_class_is_a_plain_failed_task():
    error = again(InsufficientFunds("no"), {})
    assert type(error) is TaskFailedError
    assert error.args == ("no",)
    assert str(error) == "InsufficientFunds: no (in 'pay')"


@pytest.mark.parametrize(
    "error",
    [Slotted("k"), Abstract("a"), Frozen(3), DiskError("d")],
    ids=lambda e: type(e).__name__,
)
def test_unusual_classes_are_raised_as_themselves(error: Exception):
    raised = again(error)
    assert isinstance(raised, type(error))
    assert raised.args == error.args
    assert caught(raised) is raised


def test_a_class_that_refuses_subclasses_becomes_its_base():
    declared = {dotted_name(Registered): Registered}
    assert type(again(Registered("x"), declared)) is TaskFailedError


def test_a_class_with_a_failure_of_its_own_becomes_its_base():
    class Clash(ValueError):
        @property
        def failure(self) -> str:
            return "mine"

    error = again(Clash("x"), {dotted_name(Clash): Clash})
    assert error.failure.message == "x"
    assert isinstance(error, ValueError)
    assert not isinstance(error, Clash)


@pytest.mark.parametrize("kind", [OSError, FileNotFoundError, DiskError])
def test_an_os_error_keeps_errno_text_and_file_names(kind: type[OSError]):
    error = again(kind(2, "No such file", "here", None, "there"))
    assert isinstance(error, kind)
    assert (error.errno, error.strerror) == (2, "No such file")
    assert (error.filename, error.filename2) == ("here", "there")
    assert error.args == (2, "No such file")


@pytest.mark.parametrize(
    ("name", "kept"), [(Path("a/b"), str(Path("a/b"))), (b"raw", "raw"), (7, 7)]
)
def test_file_names_of_any_kind_are_kept_as_text(name: Any, kept: Any):
    assert again(OSError(5, "Input/output error", name)).filename == kept


def test_an_os_error_of_one_argument_has_no_errno():
    error = again(OSError("plain"))
    assert (error.errno, error.args) == (None, ("plain",))


def test_a_decoding_error_keeps_its_attributes():
    with pytest.raises(UnicodeDecodeError) as info:
        b"caf\xe9".decode()
    error = again(info.value)
    assert isinstance(error, UnicodeDecodeError)
    assert (error.encoding, error.object, error.start) == ("utf-8", b"caf\xe9", 3)


def test_a_decoding_error_over_much_data_is_still_one():
    error = again(UnicodeDecodeError("utf-8", b"\xff" * ARGS_LIMIT, 0, 1, "invalid start byte"))
    assert isinstance(error, UnicodeDecodeError)
    assert "invalid start byte" in str(error)


def test_a_syntax_error_keeps_its_place():
    with pytest.raises(SyntaxError) as info:
        compile("x = (", "here.py", "exec")
    error = again(info.value)
    assert (error.filename, error.lineno) == ("here.py", 1)


def test_an_exception_group_falls_back_to_a_failed_task():
    error = again(ExceptionGroup("several", [ValueError(1), KeyError(2)]))
    assert type(error) is TaskFailedError
    assert error.failure.type == "ExceptionGroup"
    assert "KeyError: 2" in error.failure.traceback


@pytest.mark.parametrize(
    "error",
    [StopIteration(3), StopAsyncIteration(), Ended(1), KeyboardInterrupt(), SystemExit(2)],
    ids=lambda e: type(e).__name__,
)
def test_what_a_generator_or_a_worker_would_misread_is_a_plain_failed_task(error: BaseException):
    raised = again(error)
    assert type(raised) is TaskFailedError
    assert raised.failure.type == type(error).__name__


def test_names_that_are_no_exceptions_are_passed_over():
    failure = Failure(type="print", bases=("builtins.print", "builtins.int", "", "ValueError"))
    assert type(error_from(failure, {})) is TaskFailedError


def test_errors_of_ostinato_itself_are_raised_as_themselves():
    assert isinstance(again(TaskCancelledError("stop"), {}), TaskCancelledError)


def test_a_subclass_of_task_failed_error_may_be_declared():
    failure = Failure(type="Ours", message="m", bases=(dotted_name(Ours),))
    error = error_from(failure, DECLARED)
    assert isinstance(error, Ours)
    assert error.failure is failure


def test_the_same_class_is_made_once():
    assert type(again(KeyError(1))) is type(again(KeyError(2)))


def test_causes_become_causes():
    outer = ValueError("outer")
    outer.__cause__ = Frozen(3)
    error = again(outer)
    assert isinstance(error.__cause__, Frozen)
    assert isinstance(error.__cause__, TaskFailedError)


def test_a_frozen_class_may_have_a_cause():
    error = Frozen(3)
    BaseException.__setattr__(error, "__cause__", KeyError("k"))
    assert isinstance(again(error).__cause__, KeyError)


@pytest.mark.parametrize("arguments", [None, "not json", '{"a":1}'])
def test_without_usable_arguments_the_message_is_the_argument(arguments: str | None):
    failure = Failure(
        type="ValueError", message="foreign", bases=("builtins.ValueError",), args=arguments
    )
    assert error_from(failure, {}).args == ("foreign",)


@pytest.mark.parametrize("arguments", ["[]", '["utf-8",3,null,"x",{}]', "[1,2,3,4,5]"])
def test_arguments_that_do_not_suit_a_builtin_are_survived(arguments: str):
    for kind in (UnicodeDecodeError, UnicodeEncodeError, OSError, SyntaxError, ImportError):
        failure = Failure(type=kind.__name__, bases=(dotted_name(kind),), args=arguments)
        assert isinstance(caught(error_from(failure, {})), TaskFailedError)


# Failures that hosts find


def test_a_host_timeout_is_caught_as_the_builtin():
    failure = unstructured("TimeoutError", "took over 5 s", task="slow", attempt=2)
    assert (failure.task, failure.attempt) == ("slow", 2)
    with pytest.raises(TimeoutError, match="took over 5 s"):
        raise error_from(failure, {})


def test_a_host_failure_may_be_an_error_of_ostinato():
    error = error_from(unstructured("InstanceExistsError", "taken"), {})
    assert isinstance(error, InstanceExistsError)


@pytest.mark.parametrize("kind", [ACTIVITY_ERROR, SUB_ORCHESTRATION_ERROR])
def test_other_host_failures_are_plain_failed_tasks(kind: str):
    failure = unstructured(kind, "died with signal 9")
    assert failure.bases == ("builtins.Exception",)
    assert type(error_from(failure, {})) is TaskFailedError


class Denied(Exception):
    def __init__(self, code: int, who: str) -> None:
        super().__init__(f"{who} is denied")
        self.code = code
        self.who = who
        self._token = "kept here"
        self.lock = object()


def test_a_declared_class_keeps_its_public_attributes_and_its_message():
    failure = failure_of(Denied(403, "ada"), task="deny")
    raised: Any = error_from(failure, {dotted_name(Denied): Denied})
    assert isinstance(raised, Denied)
    assert (raised.code, raised.who, str(raised)) == (403, "ada", "ada is denied")
    assert not hasattr(raised, "_token")
    assert not hasattr(raised, "lock")


def test_an_undeclared_class_says_where_it_failed():
    raised = error_from(failure_of(Denied(403, "ada"), task="deny"), {})
    assert not isinstance(raised, Denied)
    assert str(raised) == "Denied: ada is denied (in 'deny')"


def test_attributes_that_are_too_much_are_left_out():
    error = Denied(403, "a" * ARGS_LIMIT)
    assert failure_of(error).attributes is None
