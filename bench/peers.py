"""The peers: other durable engines, in a virtual environment of their own.

Their dependencies stay out of ours. `python bench/peers.py` makes the environment and says
where it is; the benchmarks make it when they first need it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import common

REQUIREMENTS = (
    "durabletask==1.12.*",
    "dbos==3.4.*",
    "azure-functions-durable==1.7.*",
    "temporalio==1.35.*",
)
HOME = common.HERE / ".peers"


def python() -> Path:
    """The interpreter that has the peers; made at the first call, which takes a minute."""
    # Written last, so an environment whose making was interrupted is made again.
    stamp = HOME / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS) + "\n"
    interpreter = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(HOME, ignore_errors=True)
        venv.create(HOME, with_pip=True)
        command = [str(interpreter), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise common.BenchError(
                f"the peers cannot be installed (--no-peers goes without):\n{done.stderr[-3000:]}"
            )
        stamp.write_text(wanted)
    return interpreter


def run(script: str, case: str, **sizes: Any) -> common.Result:
    """Run one case of ``peer_<script>.py`` among the peers and return what it measured."""
    return common.run_child(python(), common.HERE / f"peer_{script}.py", case, sizes)


if __name__ == "__main__":
    print(python())
