"""The small part of ARM's template language that is written here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
PARAMETERS_SCHEMA = (
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
)


def template(
    *, parameters: Json, variables: Json, resources: Sequence[Json], outputs: Json
) -> Json:
    """Return a template for a resource group."""
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": parameters,
        "variables": variables,
        "resources": list(resources),
        "outputs": outputs,
    }


def parameters_file(values: Json) -> Json:
    """Return a file of parameters' values."""
    return {
        "$schema": PARAMETERS_SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {name: {"value": value} for name, value in values.items()},
    }


def text(document: Json) -> str:
    """Return the file's text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def declared(kind: str, description: str, *, default: Any = None, **limits: Any) -> Json:
    """Return the declaration of a template's parameter.

    Args:
        kind: Its type.
        description: What it is, for who gives it.
        default: Its value where none is given, or an expression for it; None demands one.
        limits: ``allowedValues``, ``minValue``, ``maxLength`` and the like.
    """
    return {
        "type": kind,
        **({} if default is None else {"defaultValue": default}),
        **limits,
        "metadata": {"description": description},
    }


def resource_id(kind: str, *names: str) -> str:
    """Return an expression, without brackets, for the id of a resource of the group.

    Args:
        kind: E.g. ``Microsoft.Web/sites``.
        names: Expressions, one for each segment of the kind.
    """
    return f"resourceId('{kind}', {', '.join(names)})"


def parameter(name: str) -> str:
    """Return an expression, without brackets, for a parameter's value."""
    return f"parameters('{name}')"


TAGS = f"[{parameter('tags')}]"
"""Of every resource that can have some."""


def variable(name: str) -> str:
    """Return an expression, without brackets, for a variable's value."""
    return f"variables('{name}')"
