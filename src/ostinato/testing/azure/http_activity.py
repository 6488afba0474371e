"""``CallHttp``: one request and its answer. Nothing is polled, as nothing is for Python apps."""

from __future__ import annotations

import json
from typing import Any

from ostinato.testing.azure.dotnet import json_text
from ostinato.testing.azure.ports import FunctionFailed

TIMEOUT = 100.0
"""Seconds; what .NET's client has when it is told nothing."""


def make_request(text: str) -> str:
    """Make the request that a ``DurableHttpRequest`` describes.

    Returns:
        A ``DurableHttpResponse``: ``{"statusCode", "headers", "content"}``.

    Raises:
        FunctionFailed: No answer came.
    """
    import httpx  # only apps that call it need it

    asked: dict[str, Any] = json.loads(text)
    try:
        response = httpx.request(
            asked["method"],
            asked["uri"],
            content=asked.get("content"),
            headers=asked.get("headers") or {},
            timeout=TIMEOUT,
        )
    except httpx.HTTPError as error:
        raise FunctionFailed(f"System.Net.Http.HttpRequestException: {error}") from error
    return json_text(
        {
            "headers": dict(response.headers),
            "content": response.text,
            "statusCode": response.status_code,
        }
    )
