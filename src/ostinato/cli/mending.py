"""Telling of errors that the user can mend."""

from __future__ import annotations

from collections.abc import Container, Generator
from contextlib import contextmanager

import typer
from rich.console import Console

from ostinato.cli.outcome import ExitCode, UsageError
from ostinato.errors import OstinatoError


@contextmanager
def mendable() -> Generator[None, None, None]:
    """Tell errors that the user can mend in one line or two, without a traceback."""
    try:
        yield
    except (UsageError, OstinatoError) as error:
        Console(stderr=True).print(
            f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True
        )
        raise typer.Exit(ExitCode.USAGE) from None


@contextmanager
def needing(extras: str, modules: Container[str]) -> Generator[None, None, None]:
    """Raise `UsageError` that names the extras to install, where one of ``modules`` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        raise UsageError(f"this needs {error.name}: pip install 'ostinato[{extras}]'") from None
