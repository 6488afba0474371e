"""The hint to those whose app is no function app yet.

It imports nothing of this package: the program of a worker process runs it from its path.
"""

from __future__ import annotations

from types import ModuleType


def how_to_wrap(module: ModuleType) -> str:
    """What to do where a module has no function app, but an application of Ostinato's."""
    for name, value in vars(module).items():
        kind = value.__class__
        if (kind.__module__.partition(".")[0], kind.__name__) == ("ostinato", "App"):
            return (
                f"\nhint: {name!r} is an application and no function app yet:"
                f" app = ostinato_azure.function_app({name})"
            )
    return ""
