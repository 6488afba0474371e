"""HTTP-triggered functions as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from ostinato.testing.azure.http_routes import Found, Routes
from ostinato.testing.azure.triggers import FAILURES, Calling
from ostinato.testing.azure.worker import Binary, Data, Json, Request, Response, Text

_TEXT = "text/plain; charset=utf-8"


class HttpFunctions:
    """Serves the functions of an app; what it cannot place is answered with 404.

    Keys are not asked for, whatever ``authLevel`` says, as under ``func start``.

    Args:
        routes: The app's, as it is at the time of a request.
        calling: How functions are called, from threads.
    """

    def __init__(self, routes: Callable[[], Routes], calling: Calling) -> None:
        self._routes = routes
        self._calling = calling

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        path = scope.get("raw_path") or scope["path"].encode()
        found = self._routes().find(request.method, path.decode("latin-1"))
        if found is None:
            response = HttpResponse(status_code=404)
        else:
            given = await _given(request, found)
            response = await run_in_threadpool(self._serve, found, given)
        await response(scope, receive, send)

    def _serve(self, found: Found, given: Request) -> HttpResponse:
        metadata: dict[str, Data] = {key: Text(value) for key, value in found.params.items()}
        try:
            answer = self._calling.call(found.function, given, metadata)
        except FAILURES as error:
            self._calling.tell(found.function, error)
            return HttpResponse(status_code=500)
        return _response(answer)


async def _given(request: HttpRequest, found: Found) -> Request:
    headers = dict[str, str]()
    for key, value in request.headers.items():
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Request(
        method=request.method,
        url=str(request.url),
        headers=headers,
        query=dict(request.query_params),
        params=found.params,
        body=await request.body(),
    )


def _response(answer: Data | None) -> HttpResponse:
    match answer:
        case None:
            return HttpResponse(status_code=204)
        case Text(value):
            return HttpResponse(value, headers={"content-type": _TEXT})
        case Json(text):
            return HttpResponse(text, headers={"content-type": "application/json"})
        case Binary(value):
            return HttpResponse(value, headers={"content-type": "application/octet-stream"})
        case Response():
            response = HttpResponse(answer.body, answer.status)
            for key, value in answer.headers.items():
                if key.lower() != "content-length":
                    response.headers[key] = value
            for cookie in answer.cookies:
                response.headers.append("set-cookie", cookie)
            return response
        case Request():
            raise TypeError("a function answers no request")
