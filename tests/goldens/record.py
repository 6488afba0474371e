"""Records the goldens: ``python -m tests.goldens.record`` at the repository's root.

Record anew only when an orchestration changes on purpose in a way that running instances need
not survive; otherwise give it another version.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import ostinato as ost
from orchestrations import app
from ostinato.events import events_to_json
from ostinato.testing import ManualClock

HERE = Path(__file__).parent
SALES = "tests/data/sales"


def record() -> None:
    """Run the reference orchestrations on the test data and keep their histories."""
    scratch = Path(tempfile.mkdtemp(prefix="goldens-", dir="."))
    try:
        with ost.local.LocalHost(app, ":memory:", clock=ManualClock()) as host:
            _keep(
                host,
                "ingest",
                {"folder": SALES, "report": f"{scratch.name}/report.json", "max_concurrency": 2},
            )
            _keep(
                host,
                "nightly_etl",
                {
                    "business_date": "2026-03-01",
                    "folder": SALES,
                    "staging": f"{scratch.name}/staging",
                    "database": f"{scratch.name}/warehouse.db",
                },
            )
            _keep(host, "stage_source", None)
    finally:
        shutil.rmtree(scratch)


def _keep(host: ost.local.LocalHost, name: str, given: object) -> None:
    if given is None:  # a child that has run already
        page = host.client.list_instances()
        found = next(one.instance_id for one in page.instances if one.name == name)
    else:
        found = host.client.start(name, given)
        host.client.wait(found, timeout=60)
    history = host.client.get_history(found)
    (HERE / f"{name}.json").write_text(events_to_json(history) + "\n")


if __name__ == "__main__":
    record()
