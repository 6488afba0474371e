"""The suite's applications as function apps in this process."""

from __future__ import annotations

import ostinato as ost
import ostinato_azure
from ostinato.testing.azure.worker_direct import DirectWorker


class DirectApps:
    """Function apps that are kept for the next case of the same application."""

    def __init__(self) -> None:
        self._workers: dict[tuple[ost.App, bool], DirectWorker] = {}

    def worker(self, app: ost.App, *, grpc: bool, fresh: bool) -> DirectWorker:
        """Return what calls an application's functions.

        It may have run cases before, unless it is to be ``fresh``.
        """
        worker = None if fresh else self._workers.get((app, grpc))
        if worker is None:
            worker = DirectWorker(ostinato_azure.function_app(app, grpc=grpc))
            self._workers[app, grpc] = worker
        return worker
