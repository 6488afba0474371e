"""What tests of durable code need: a clock moved by hand, and suites for new hosts."""

from ostinato.testing.clock import ManualClock

__all__ = ["ManualClock"]
