"""A function app written for azure-functions-durable 2.x: the whole app is on protobuf."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableFunctionsClient):
    body = req.get_body()
    instance_id = await client.schedule_new_orchestration(
        req.route_params["name"], input=json.loads(body) if body else None
    )
    return client.create_check_status_response(req, instance_id)


@app.route(route="events/{id}/{event}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_event(req: func.HttpRequest, client: df.DurableFunctionsClient):
    await client.raise_orchestration_event(
        req.route_params["id"], req.route_params["event"], data=req.get_json()
    )
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    word = context.get_input()
    for _ in range(3):
        word = yield context.call_activity("append", word)
    return word


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    count = context.get_input()
    squares = yield context.task_all([context.call_activity("square", n) for n in range(count)])
    return sum(squares)


@app.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext):
    context.set_custom_status("waiting")
    timeout = context.create_timer(context.current_utc_datetime + timedelta(days=2))
    answer = context.wait_for_external_event("approve")
    winner = yield context.task_any([answer, timeout])
    return answer.get_result() if winner == answer else "too late"


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    words = yield context.task_all(
        [context.call_sub_orchestrator("chain", word) for word in context.get_input()]
    )
    return " ".join(words)


@app.orchestration_trigger(context_name="context")
def failing(context: df.DurableOrchestrationContext):
    yield context.call_activity("fail", "this")


@app.activity_trigger(input_name="word")
def append(word: str) -> str:
    return f"{word}!"


@app.activity_trigger(input_name="number")
def square(number: int) -> int:
    return number * number


@app.activity_trigger(input_name="word")
def fail(word: str) -> str:
    raise ValueError(f"cannot {word}")
