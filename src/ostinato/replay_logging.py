"""A logger for orchestrators that says each thing once, however often the code is replayed."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.context import OrchestrationContext


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Silent while the context replays."""

    def __init__(self, logger: logging.Logger, context: OrchestrationContext) -> None:
        super().__init__(logger, {})
        self._context = context

    def isEnabledFor(self, level: int) -> bool:
        """Whether a record of this level would be kept now."""
        return not self._context.is_replaying and super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the instance to the record, under the user's own extra fields."""
        extra = {
            "instance_id": self._context.instance_id,
            "execution_id": self._context.execution_id,
            "orchestration": self._context.name,
        }
        kwargs["extra"] = extra | dict(kwargs.get("extra") or {})
        return msg, kwargs


def replay_safe_logger(context: OrchestrationContext) -> ReplaySafeLogger:
    """Return the logger ``ostinato.orchestration.<name>`` for this context."""
    return ReplaySafeLogger(logging.getLogger(f"ostinato.orchestration.{context.name}"), context)
