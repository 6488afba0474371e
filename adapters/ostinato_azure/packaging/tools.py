"""Running Azure's own command line tool, so that its user sees what it is asked to do."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ostinato_azure.packaging.errors import PackagingError

T = TypeVar("T")

INSTALL = "https://learn.microsoft.com/cli/azure/install-azure-cli"


class ToolFailedError(Exception):
    """A tool ended with an error; the message has the command and its last words."""

    def __init__(self, command: str, code: int, said: str) -> None:
        super().__init__(f"{command}\nended with code {code}:\n{said}")
        self.said = said


class AzureCli(msgspec.Struct, frozen=True, kw_only=True):
    """``az``, the command line of Azure."""

    program: str

    @classmethod
    def find(cls) -> AzureCli:
        """Return the one on the PATH.

        Raises:
            PackagingError: There is none.
        """
        program = shutil.which("az")
        if program is None:
            raise PackagingError(f"there is no az on the PATH, which does the work: see {INSTALL}")
        return cls(program=program)

    def run(self, arguments: Sequence[str]) -> str:
        """Run a command to its end and return its standard output.

        Raises:
            ToolFailedError: It ended with an error.
        """
        done = subprocess.run(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise ToolFailedError(shown(arguments), done.returncode, done.stderr.strip())
        return done.stdout


def answered(arguments: Sequence[str], told: str | bytes, kind: type[T]) -> T:
    """Return what a command told, which is JSON, as a value of ``kind``.

    Raises:
        ToolFailedError: It is something else.
    """
    try:
        return msgspec.json.decode(told, type=kind)
    except msgspec.DecodeError as error:
        raise ToolFailedError(shown(arguments), 0, f"its answer is not usable: {error}") from None


def shown(arguments: Sequence[str]) -> str:
    """Return the command as one would type it."""
    return shlex.join(["az", *arguments])
