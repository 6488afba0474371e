"""Ostinato on Azure Durable Functions: the same orchestrations as a function app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.app import App

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
    """
    import azure.functions

    from ostinato_azure.functions import Functions

    target = functions or azure.functions.FunctionApp()
    Functions(app, target, grpc=grpc).register()
    return target
