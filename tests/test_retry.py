from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import OstinatoError, TaskFailedError
from ostinato.failures import Failure, failure_of, unstructured
from ostinato.retry import LONGEST_DELAY, RetryOptions, RetryPolicy, as_policy


class Declined(ValueError):
    pass


DECLINED = failure_of(Declined("no"))


def test_delays_are_given_in_the_order_of_the_design():
    policy = RetryPolicy(5, 2, 3, 10)
    assert [policy.next_delay(n, 0, "") for n in range(1, 6)] == [2, 6, 10, 10, None]


def test_delays_may_be_timedeltas_and_are_kept_as_seconds():
    policy = RetryPolicy(3, timedelta(minutes=1), max_delay=timedelta(hours=1), timeout=90)
    assert (policy.first_delay, policy.max_delay, policy.timeout) == (60.0, 3600.0, 90.0)
    assert all(type(s) is float for s in (policy.first_delay, policy.max_delay, policy.timeout))


def test_a_policy_is_constant_and_equal_by_value():
    policy = RetryPolicy(3)
    with pytest.raises(FrozenInstanceError):
        policy.max_attempts = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert policy == RetryPolicy(3, timedelta(seconds=1))
    assert replace(policy, max_attempts=4) == RetryPolicy(4)
    assert replace(policy, retry_on=(KeyError,)) == RetryPolicy(3, retry_on=KeyError)


def test_a_policy_of_one_attempt_never_retries():
    assert RetryPolicy(1).next_delay(1, 0, "") is None


def test_no_retry_once_the_timeout_has_passed():
    policy = RetryPolicy(100, 5, timeout=60)
    assert policy.next_delay(1, 59.9, "") == 5
    assert policy.next_delay(1, 60, "") is None


@pytest.mark.parametrize("attempt", [2_000, 10**9, 10**15])
def test_huge_attempts_do_not_overflow(attempt: int):
    endless = 10**20
    assert RetryPolicy(endless, 1, 2, max_delay=30).next_delay(attempt, 0, "") == 30
    assert RetryPolicy(endless, 1, 2).next_delay(attempt, 0, "") == LONGEST_DELAY
    assert RetryPolicy(endless, 0, 2).next_delay(attempt, 0, "") == 0
    assert RetryPolicy(endless, 3).next_delay(attempt, 0, "") == 3


def test_jitter_is_the_same_for_the_same_task_and_attempt_only():
    policy = RetryPolicy(10, 8, jitter=0.5)
    assert policy.next_delay(1, 0, "e:1") == policy.next_delay(1, 99, "e:1")
    seeds = {policy.next_delay(n, 0, f"e:{task}") for n in (1, 2) for task in range(50)}
    assert len(seeds) == 100


def test_jitter_never_changes_between_releases():
    delay = RetryPolicy(3, 100, jitter=0.1).next_delay(1, 0, "e:0")
    assert delay == pytest.approx(99.02759372229994)


@given(st.floats(0, 1), st.floats(0, 1e6), st.text(), st.integers(1, 10**6))
def test_jitter_stays_within_its_fraction(jitter: float, delay: float, seed: str, attempt: int):
    spread = RetryPolicy(10**7, delay, jitter=jitter).next_delay(attempt, 0, seed)
    assert spread is not None
    assert delay * (1 - jitter) * 0.999999 <= spread <= delay * (1 + jitter) * 1.000001


def test_jitter_goes_to_both_sides():
    policy = RetryPolicy(3, 100, jitter=0.2)
    delays = [policy.next_delay(1, 0, str(seed)) or 0 for seed in range(500)]
    assert min(delays) < 81
    assert max(delays) > 119


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"first_delay": -1}, "first_delay"),
        ({"first_delay": float("nan")}, "first_delay"),
        ({"first_delay": timedelta(seconds=-1)}, "first_delay"),
        ({"first_delay": "1"}, "first_delay"),
        ({"first_delay": 10**400}, "first_delay"),
        ({"backoff": 0}, "backoff"),
        ({"backoff": float("inf")}, "backoff"),
        ({"max_delay": -1}, "max_delay"),
        ({"jitter": 1.1}, "jitter"),
        ({"jitter": -0.1}, "jitter"),
        ({"timeout": float("inf")}, "timeout"),
        ({"retry_on": ""}, "retry_on"),
        ({"give_up_on": ["ValueError", ""]}, "give_up_on"),
    ],
)
def test_a_number_or_name_out_of_range_is_refused_by_name(arguments: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        RetryPolicy(**dict[str, Any](max_attempts=3) | arguments)


@pytest.mark.parametrize("condition", [3, [KeyError, 3], int, [int], [None]])
def test_a_condition_of_another_kind_is_refused(condition: Any):
    with pytest.raises(TypeError, match="retry_on takes exception types"):
        RetryPolicy(3, retry_on=condition)


def test_without_conditions_everything_is_retried():
    assert RetryPolicy(3).matches(DECLINED)


def test_an_empty_list_of_conditions_retries_nothing():
    assert not RetryPolicy(3, retry_on=[]).matches(DECLINED)


@pytest.mark.parametrize(
    "condition",
    [
        Declined,
        ValueError,
        "Declined",
        "ValueError",
        "builtins.ValueError",
        f"{__name__}.Declined",
        lambda failure: failure.message == "no",
        (KeyError, "Declined"),
        iter([KeyError, ValueError]),
    ],
)
def test_types_names_and_functions_match_a_failure_and_its_bases(condition: Any):
    policy = RetryPolicy(3, retry_on=condition)
    assert policy.matches(DECLINED)
    assert policy.matches(DECLINED), "an iterator is not used up"


@pytest.mark.parametrize(
    "condition",
    [KeyError, "KeyError", "clined", "other.Declined", lambda failure: False, (KeyError, OSError)],
)
def test_other_conditions_do_not_match(condition: Any):
    assert not RetryPolicy(3, retry_on=condition).matches(DECLINED)


@pytest.mark.parametrize("base", [Exception, BaseException, TaskFailedError, OstinatoError])
def test_a_type_matches_what_except_would_catch(base: type[BaseException]):
    assert RetryPolicy(3, retry_on=base).matches(Failure(type="Foreign"))


def test_a_name_matches_a_failure_that_has_no_bases():
    assert RetryPolicy(3, retry_on="Foreign").matches(Failure(type="Foreign"))


def test_giving_up_wins():
    policy = RetryPolicy(3, retry_on=ValueError, give_up_on=Declined)
    assert policy.matches(failure_of(ValueError("other")))
    assert not policy.matches(DECLINED)


def test_a_timeout_found_by_the_host_matches_the_builtin():
    assert RetryPolicy(3, retry_on=TimeoutError).matches(unstructured("TimeoutError", "late"))


def test_retry_options_become_a_fixed_delay():
    assert as_policy(RetryOptions(5_000, 3)) == RetryPolicy(3, 5)


def test_a_policy_stays_as_it_is():
    policy = RetryPolicy(3)
    assert as_policy(policy) is policy


def test_retry_options_of_durable_functions_are_taken_by_shape():
    df = pytest.importorskip("azure.durable_functions")
    assert as_policy(df.RetryOptions(2_500, 4)) == RetryPolicy(4, 2.5)


def test_options_shaped_like_retry_options_are_checked():
    class Options:
        first_retry_interval_in_milliseconds = "5000"
        max_number_of_attempts = 3

    with pytest.raises(ValueError, match="first_retry_interval_in_milliseconds must be a finite"):
        as_policy(Options())


@pytest.mark.parametrize("other", [None, 3, "three", {"max_number_of_attempts": 3}])
def test_anything_else_is_named(other: Any):
    with pytest.raises(TypeError, match=f"RetryOptions, got {type(other).__name__}"):
        as_policy(other)


@pytest.mark.parametrize(
    "make",
    [lambda: RetryOptions(0, 3), lambda: RetryOptions(-1, 3), lambda: RetryOptions(1, 0)],
)
def test_retry_options_are_checked(make: Callable[[], RetryOptions]):
    with pytest.raises(ValueError, match=r"_in_milliseconds|_of_attempts"):
        make()
