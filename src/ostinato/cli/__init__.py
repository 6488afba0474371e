"""The command line: ``ostinato run`` and its like."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    import sys

    try:
        from ostinato.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        print(
            f"error: the command line needs {error.name}: pip install 'ostinato[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    cli()
