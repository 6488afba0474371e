"""Ostinato on Azure Durable Functions: the same orchestrations as a function app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.app import App
from ostinato.errors import RegistrationError

if TYPE_CHECKING:
    import azure.functions as func

__all__ = ["function_app"]


def function_app(
    app: App, *, functions: func.FunctionRegister | None = None, grpc: bool = False
) -> func.FunctionRegister:
    """Return the function app that runs an application on Azure Durable Functions.

    Args:
        app: The application.
        functions: A function app to add to, which may have functions of its own, plain Durable
            Functions ones among them; by default a new one.
        grpc: Whether to ask the extension for the Durable Task protocol, for the whole app.

    Raises:
        TypeError: ``app`` is no `App`.
        RegistrationError: A function of ``functions`` has a name that one of ours needs, the
            protocol's packages are missing, or an app setting is wrong.
    """
    from importlib.util import find_spec

    if not isinstance(app, App):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"function_app takes an App, not {type(app).__name__} ({app!r})")
    import azure.functions

    from ostinato_azure.functions import Functions

    if grpc and find_spec("durabletask") is None:
        raise RegistrationError(
            "grpc=True needs the package durabletask: pip install 'ostinato[azure-grpc]', and for"
            " `ostinato build azure` put grpc = true under [tool.ostinato.azure] in pyproject.toml"
        )
    target = functions
    if target is None:
        target = azure.functions.FunctionApp()
        # It is then taken to have HTTP functions, and does not warn, at each start of a worker,
        # that a level of authorization which nobody set is not applied.
        vars(target)["_require_auth_level"] = True
    Functions(app, target, grpc=grpc).register()
    return target
