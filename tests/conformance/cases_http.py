"""ctx.call_http against a real server."""

from __future__ import annotations

import json

import ostinato as ost

from .app import app, case, room_url
from .model import Flow, completes, fails


@case(
    "a request is made and its answer is given as in 1.x",
    completes(
        [200, {"method": "POST", "body": '{"a": 1}', "type": "application/json", "mark": "x"}]
    ),
)
@app.orchestration
def posts(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    headers = {"Content-Type": "application/json", "X-Mark": "x"}
    answer = yield ctx.call_http(
        "POST", f"{url}/echo/", json.dumps({"a": 1}), headers, is_raw_str=True
    )
    return [answer["statusCode"], json.loads(answer["content"])]


@case("content that is no text is sent as JSON", completes({"a": 1}))
@app.orchestration
def posts_json(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    answer = yield ctx.call_http("POST", f"{url}/echo/", {"a": 1})
    return json.loads(json.loads(answer["content"])["body"])


@case("a text is sent as JSON unless it is to be raw, as in 1.x", completes(['"a"', "a"]))
@app.orchestration
def posts_text(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    quoted = yield ctx.call_http("POST", f"{url}/echo/", "a")
    raw = yield ctx.call_http("POST", f"{url}/echo/", "a", is_raw_str=True)
    return [json.loads(answer["content"])["body"] for answer in (quoted, raw)]


@case("an answer of 404 or 500 is an answer, not a failure", completes([404, 500]))
@app.orchestration
def answers(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    statuses = []
    for status in (404, 500):
        answer = yield ctx.call_http("GET", f"{url}/status/{status}")
        statuses.append(answer["statusCode"])
    return statuses


@case(
    "an answer of 202 is followed by its Location, with durable waits of its Retry-After",
    completes([200, "done"], delays=(5.0, 5.0), ran=("POST job 2", "GET job 1", "GET job 0")),
)
@app.orchestration
def follows(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    answer = yield ctx.call_http("POST", f"{url}/job/2", "work")
    return [answer["statusCode"], json.loads(answer["content"])]


@case("calls are awaited together with other tasks", completes([200, 200]))
@app.orchestration
def calls_together(ctx: ost.OrchestrationContext) -> Flow:
    url = yield ctx.call_activity(room_url)
    calls = [ctx.call_http("GET", f"{url}/status/200") for _ in range(2)]
    answers = yield ctx.task_all(calls)
    return [answer["statusCode"] for answer in answers]


@case("a server that cannot be reached fails the task", completes(True))
@app.orchestration
def unreachable(ctx: ost.OrchestrationContext) -> Flow:
    try:
        yield ctx.call_http("GET", "http://127.0.0.1:9/")
    except ost.TaskFailedError as error:
        return bool(error.failure.message)


@case("a raw text must be a text", fails("TypeError"))
@app.orchestration
def raw_content(ctx: ost.OrchestrationContext) -> Flow:
    yield ctx.call_http("POST", "http://127.0.0.1:9/", {"a": 1}, is_raw_str=True)
