"""A function app's storage for the tests of triggers: names of a test's own, and a worker."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

import azure.functions as func
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from ostinato.testing import ManualClock
from ostinato.testing.azure.host_settings import AppSettings, QueueOptions
from ostinato.testing.azure.triggers import Calling
from ostinato.testing.azure.worker_bindings import ClientBindings
from ostinato.testing.azure.worker_direct import DirectWorker
from ostinato.testing.azure.worker_storage import StorageBindings


@dataclass
class Stand:
    """Everything around an app whose functions a test declares."""

    connection: str
    app: func.FunctionApp = field(default_factory=func.FunctionApp)
    options: QueueOptions = field(default_factory=QueueOptions)
    clock: ManualClock = field(default_factory=ManualClock)
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.id = uuid.uuid4().hex[:10]
        self.queues = QueueServiceClient.from_connection_string(self.connection)
        self.blobs = BlobServiceClient.from_connection_string(self.connection)
        self.settings = AppSettings({"C": self.connection, "ID": self.id})
        self.workers = []

    def name(self, base):
        """A name that no other test has."""
        return f"{base}-{self.id}"

    def calling(self):
        """Starts a worker with the functions declared so far."""
        self.workers.append(DirectWorker(self.app))
        bindings = StorageBindings(
            settings=self.settings,
            queues=self.options,
            clock=self.clock,
            others=ClientBindings(lambda binding: "client"),
        )
        return Calling(
            worker=lambda: self.workers[-1],
            bindings=bindings,
            log=self.log.append,
            folder=Path(__file__).parent,
        )

    def function(self, calling, name):
        """A function by its name."""
        return next(f for f in calling.worker().functions if f.name == name)

    def close(self):
        """Ends what was started."""
        for worker in self.workers:
            worker.close()
        self.queues.close()
        self.blobs.close()

    def texts(self, queue):
        """The raw contents of a queue's messages, which stay there unseen for a second."""
        client = self.queues.get_queue_client(queue)
        return [message.content for message in client.peek_messages(max_messages=32)]
