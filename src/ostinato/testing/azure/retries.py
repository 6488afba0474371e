"""The extension's own retries, of which the framework makes timers and further attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """How often, and how long after each failure."""

    first_delay: timedelta
    max_attempts: int
    backoff: float = 1.0
    max_delay: timedelta | None = None
    timeout: timedelta | None = None

    @classmethod
    def of(cls, sent: Mapping[str, Any]) -> RetryOptions:
        """Read ``retryOptions``.

        Raises:
            ValueError: There is no first delay, or no attempt.
        """
        first = _milliseconds(sent.get("firstRetryIntervalInMilliseconds"))
        attempts = sent.get("maxNumberOfAttempts")
        if not first or not isinstance(attempts, int) or attempts < 1:
            raise ValueError("retries need a first interval and a number of attempts")
        return cls(
            first_delay=first,
            max_attempts=attempts,
            backoff=float(sent.get("backoffCoefficient") or 1.0),
            max_delay=_milliseconds(sent.get("maxRetryIntervalInMilliseconds")),
            timeout=_milliseconds(sent.get("retryTimeoutInMilliseconds")),
        )

    def delay(self, attempt: int, passed: timedelta) -> timedelta | None:
        """How long to wait after a failed attempt, counted from 1; None when time is up."""
        if self.timeout is not None and passed >= self.timeout:
            return None
        delay = self.first_delay * self.backoff ** (attempt - 1)
        return delay if self.max_delay is None else min(delay, self.max_delay)


def _milliseconds(value: Any) -> timedelta | None:
    return timedelta(milliseconds=value) if isinstance(value, int | float) and value else None
