"""A function app as Azure's own documentation writes them: nothing of Ostinato is in it."""

import json
import logging
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client) -> func.HttpResponse:
    body = req.get_body()
    instance_id = await client.start_new(
        req.route_params["name"],
        instance_id=req.params.get("id"),
        client_input=json.loads(body) if body else None,
    )
    logging.info("started %s", instance_id)
    return client.create_check_status_response(req, instance_id)


@app.route(route="events/{id}/{event}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_event(req: func.HttpRequest, client) -> func.HttpResponse:
    await client.raise_event(req.route_params["id"], req.route_params["event"], req.get_json())
    return func.HttpResponse(status_code=202)


@app.route(route="status/{id}")
@app.durable_client_input(client_name="client")
async def http_status(req: func.HttpRequest, client) -> func.HttpResponse:
    status = await client.get_status(req.route_params["id"])
    return func.HttpResponse(json.dumps(status.to_json()), mimetype="application/json")


@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def queue_start(msg: func.QueueMessage, client):
    told = json.loads(msg.get_body())
    await client.start_new("chain", instance_id=told["id"], client_input=told["input"])


@app.blob_trigger(arg_name="blob", path="%CONTAINER%/{name}", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def blob_start(blob: func.InputStream, client):
    name = blob.name.rpartition("/")[2]
    await client.start_new("chain", instance_id=f"blob-{name}", client_input=blob.read().decode())


@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
@app.durable_client_input(client_name="client")
async def timer_start(timer: func.TimerRequest, client):
    await client.start_new("chain", instance_id="by-timer", client_input="timer")


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
    deadline = context.current_utc_datetime + timedelta(days=2)
    timeout = context.create_timer(deadline)
    answer = context.wait_for_external_event("approve")
    winner = yield context.task_any([answer, timeout])
    if winner == answer:
        timeout.cancel()
        return answer.result
    return "too late"


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    words = yield context.task_all(
        [context.call_sub_orchestrator("chain", word) for word in context.get_input()]
    )
    return " ".join(words)


@app.orchestration_trigger(context_name="context")
def countdown(context: df.DurableOrchestrationContext):
    left = context.get_input()
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    if left > 0:
        context.continue_as_new(left - 1)
        return None
    return "lift-off"


@app.orchestration_trigger(context_name="context")
def unreliable(context: df.DurableOrchestrationContext):
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5000, max_number_of_attempts=3)
    try:
        yield context.call_activity_with_retry("fail", retry, "once")
    except Exception:
        context.set_custom_status("given up")
    yield context.call_activity("fail", "twice")


@app.orchestration_trigger(context_name="context")
def counting(context: df.DurableOrchestrationContext):
    entity = df.EntityId("counter", "k")
    context.signal_entity(entity, "add", 2)
    yield context.call_entity(entity, "add", 3)
    total = yield context.call_entity(entity, "get")
    return total


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext):
    total = context.get_state(lambda: 0)
    if context.operation_name == "add":
        total += context.get_input()
    context.set_state(total)
    context.set_result(total)


@app.activity_trigger(input_name="word")
def append(word: str) -> str:
    return f"{word}!"


@app.activity_trigger(input_name="number")
def square(number: int) -> int:
    return number * number


@app.activity_trigger(input_name="word")
def fail(word: str) -> str:
    raise ValueError(f"cannot {word}")
