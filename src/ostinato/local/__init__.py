"""The embedded engine: durable orchestrations on one machine, in one process, in one file."""

from ostinato.local.client import LocalClient
from ostinato.local.clock import Clock, SystemClock
from ostinato.local.host import LocalHost, RemoteHub, connect
from ostinato.local.progress import ActivityProgress, Progress
from ostinato.local.running import RunningActivity
from ostinato.local.store import Store

__all__ = [
    "ActivityProgress",
    "Clock",
    "LocalClient",
    "LocalHost",
    "Progress",
    "RemoteHub",
    "RunningActivity",
    "Store",
    "SystemClock",
    "connect",
]
