"""What tests of durable code need: a clock moved by hand, and histories held against the code."""

from ostinato.testing.clock import ManualClock
from ostinato.testing.replayer import replay_history

__all__ = ["ManualClock", "replay_history"]
