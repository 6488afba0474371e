"""Telling of errors that the user can mend."""

from __future__ import annotations

from collections.abc import Generator
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
