"""Retry: whether a failure is tried again, and when. Pure: no clock, no randomness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from ostinato.errors import TaskFailedError
from ostinato.failures import Failure, dotted_name

Condition: TypeAlias = type[BaseException] | str | Callable[[Failure], bool]
"""An exception type (with its subclasses), the bare or dotted name of one, or a pure function."""

LONGEST_DELAY = 100 * 365 * 86_400.0
"""Seconds; where backoff without ``max_delay`` stops growing, so that dates do not overflow."""


@dataclass(frozen=True, slots=True, init=False)
class RetryPolicy:
    """How often, when and for which failures a task is tried again.

    Delays are seconds or timedeltas and are kept as seconds. The delay after attempt ``n``
    is ``first_delay * backoff ** (n - 1)``, at most ``max_delay``, then spread by up to
    ``jitter`` (a fraction) to either side, the same on every replay.

    Args:
        max_attempts: Attempts altogether, the first one included.
        first_delay: Delay after the first attempt.
        backoff: Factor from one delay to the next; below 1 delays shrink.
        max_delay: Upper limit of a delay, before jitter.
        jitter: From 0 to 1.
        timeout: No further attempt once a failure arrives this long after the first start.
        retry_on: Retry only these failures (see `Condition`); one or several. None: all.
        give_up_on: Never retry these, whatever ``retry_on`` says.

    Raises:
        ValueError: A number is out of its range, or a name is empty.
        TypeError: A condition is none of the kinds above.
    """

    max_attempts: int
    first_delay: float
    backoff: float
    max_delay: float | None
    jitter: float
    timeout: float | None
    retry_on: tuple[Condition, ...] | None
    give_up_on: tuple[Condition, ...]

    def __init__(
        self,
        max_attempts: int,
        first_delay: float | timedelta = 1.0,
        backoff: float = 1.0,
        max_delay: float | timedelta | None = None,
        jitter: float = 0.0,
        timeout: float | timedelta | None = None,
        retry_on: Condition | Iterable[Condition] | None = None,
        give_up_on: Condition | Iterable[Condition] | None = None,
    ) -> None:
        self._set("max_attempts", _attempts("max_attempts", max_attempts))
        self._set("first_delay", _seconds("first_delay", first_delay))
        self._set("backoff", _positive("backoff", backoff))
        self._set("max_delay", _optional_seconds("max_delay", max_delay))
        self._set("jitter", _fraction("jitter", jitter))
        self._set("timeout", _optional_seconds("timeout", timeout))
        self._set("retry_on", None if retry_on is None else _conditions("retry_on", retry_on))
        self._set("give_up_on", () if give_up_on is None else _conditions("give_up_on", give_up_on))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def matches(self, failure: Failure) -> bool:
        """Return whether a failure of this kind may be tried again; ``give_up_on`` wins."""
        if any(_applies(condition, failure) for condition in self.give_up_on):
            return False
        return self.retry_on is None or any(_applies(c, failure) for c in self.retry_on)

    def next_delay(self, attempt: int, elapsed: float, seed: str) -> float | None:
        """Return the seconds to wait before the attempt that follows ``attempt``.

        Args:
            attempt: The attempt that failed, from 1.
            elapsed: Seconds from the first attempt's start to this failure's arrival.
            seed: Whatever tells this task from others: it decides the jitter.

        Returns:
            None when attempts or time are used up.
        """
        if attempt >= self.max_attempts or (self.timeout is not None and elapsed >= self.timeout):
            return None
        delay = self._delay(attempt)
        return delay * _spread(self.jitter, attempt, seed) if self.jitter and delay else delay

    def _delay(self, attempt: int) -> float:
        limit = LONGEST_DELAY if self.max_delay is None else min(self.max_delay, LONGEST_DELAY)
        if not self.first_delay:
            return 0.0
        try:
            return min(self.first_delay * self.backoff ** (attempt - 1), limit)
        except OverflowError:
            return limit


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """Fixed-delay retries under the names of azure-functions-durable 1.x.

    Raises:
        ValueError: The interval is not above 0, or there is no attempt.
    """

    first_retry_interval_in_milliseconds: float
    max_number_of_attempts: int

    def __post_init__(self) -> None:
        name = "first_retry_interval_in_milliseconds"
        _positive(name, self.first_retry_interval_in_milliseconds)
        _attempts("max_number_of_attempts", self.max_number_of_attempts)


def as_policy(value: Any) -> RetryPolicy:
    """Return a policy as it is, and anything shaped like `RetryOptions` as a policy.

    Raises:
        TypeError: The value is neither.
        ValueError: Its numbers are out of their range.
    """
    if isinstance(value, RetryPolicy):
        return value
    try:
        attempts = value.max_number_of_attempts
        milliseconds = value.first_retry_interval_in_milliseconds
    except AttributeError:
        raise TypeError(
            f"expected a RetryPolicy or RetryOptions, got {type(value).__name__}: {value!r}"
        ) from None
    options = RetryOptions(milliseconds, attempts)
    return RetryPolicy(attempts, options.first_retry_interval_in_milliseconds / 1000)


def _spread(jitter: float, attempt: int, seed: str) -> float:
    """A factor in ``1 ± jitter`` that depends on nothing but the arguments."""
    from hashlib import sha256  # loads OpenSSL, which most programs never need here

    digest = sha256(f"{seed}:{attempt}".encode("utf-8", "surrogatepass")).digest()
    unit = int.from_bytes(digest[:8], "big") / 2**64
    return 1.0 + jitter * (2.0 * unit - 1.0)


def _applies(condition: Condition, failure: Failure) -> bool:
    """Whether ``condition`` describes the failure.

    A type applies where ``except`` with it would catch the failed task's error.
    """
    if isinstance(condition, str):
        return condition == failure.type or any(
            base == condition or base.endswith(f".{condition}") for base in failure.bases
        )
    if isinstance(condition, type):
        return issubclass(TaskFailedError, condition) or dotted_name(condition) in failure.bases
    return condition(failure)


def _conditions(name: str, given: Any) -> tuple[Condition, ...]:
    several: Any = given
    if isinstance(given, str) or callable(given) or not isinstance(given, Iterable):
        several = (given,)
    return tuple(_condition(name, condition) for condition in several)


def _condition(name: str, given: Any) -> Condition:
    is_class = isinstance(given, type)
    if not (issubclass(given, BaseException) if is_class else callable(given)):
        if not isinstance(given, str):
            raise TypeError(
                f"{name} takes exception types, names and functions of a Failure, not {given!r}"
            )
        if not given:
            raise ValueError(f"{name} has an empty name")
    condition: Condition = given
    return condition


def _attempts(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 on, not {value!r}")
    return value


def _seconds(name: str, value: Any) -> float:
    seconds = _number(name, value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 0:
        raise ValueError(f"{name} must be 0 or more seconds or a timedelta, not {value!r}")
    return seconds


def _optional_seconds(name: str, value: Any) -> float | None:
    return None if value is None else _seconds(name, value)


def _positive(name: str, value: Any) -> float:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def _fraction(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a fraction from 0 to 1, not {value!r}")
    return number


def _number(name: str, value: Any) -> float:
    """``value`` as a finite float."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{name} must be a finite number, not {value!r}")
