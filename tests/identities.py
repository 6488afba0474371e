"""A stand-in of the place where App Service gives an app the tokens of its identities."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

SECRET = "the header that shows a process of this app"


class Identities:
    """The ASGI application behind ``IDENTITY_ENDPOINT``.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference

    Attributes:
        asked: The query of each request, in order.
        issuer: Who the tokens say made them.
        refuses: Whether nobody gets a token.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.issuer = "https://sts.windows.net/tenant/"
        self.refuses = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.headers.get("X-IDENTITY-HEADER") != SECRET:
            return Response(status_code=401)
        if self.refuses:
            return Response("No identity was found", status_code=400)
        self.asked.append(dict(request.query_params))
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": request.query_params["resource"],
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        token = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}.c2lnbmVk"
        return JSONResponse(
            {"access_token": token, "expires_on": str(now + 3600), "token_type": "Bearer"}
        )


def _part(fields: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()
