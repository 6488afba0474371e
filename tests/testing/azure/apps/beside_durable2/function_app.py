"""Functions of azure-functions-durable 2.x, and an application of Ostinato's beside them."""

import json

import azure.durable_functions as df
import azure.functions as func
import ours

import ostinato_azure

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableFunctionsClient):
    body = req.get_body()
    instance_id = await client.schedule_new_orchestration(
        req.route_params["name"], input=json.loads(body) if body else None
    )
    return client.create_check_status_response(req, instance_id)


@app.activity_trigger(input_name="order")
def their_price(order: dict) -> dict:
    return {"item": order["item"], "price": 2.5 * order["count"]}


@app.activity_trigger(input_name="item")
def their_failing(item: str) -> None:
    raise LookupError(f"{item} is unknown")


@app.orchestration_trigger(context_name="context")
def their_basket(context: df.DurableOrchestrationContext):
    prices = yield context.task_all(
        [context.call_activity("their_price", order) for order in context.get_input()]
    )
    return sum(price["price"] for price in prices)


@app.orchestration_trigger(context_name="context")
def their_broken(context: df.DurableOrchestrationContext):
    yield context.call_activity("their_failing", context.get_input())


@app.orchestration_trigger(context_name="context")
def their_order(context: df.DurableOrchestrationContext):
    given = context.get_input()
    packed = yield context.call_activity("pack", given)
    child = yield context.call_sub_orchestrator("order", packed)
    return {"packed": packed, "child": child}


@app.orchestration_trigger(context_name="context")
def their_catching(context: df.DurableOrchestrationContext):
    told = []
    for call in (
        lambda: context.call_activity("refuse", "tea"),
        lambda: context.call_sub_orchestrator("broken", "milk"),
    ):
        try:
            yield call()
        except Exception as error:
            told.append(str(error))
    return told


@app.entity_trigger(context_name="context")
def their_counter(context: df.DurableEntityContext):
    count = context.get_state(lambda: 0) + context.get_input()
    context.set_state(count)
    context.set_result(count)


@app.orchestration_trigger(context_name="context")
def their_waiting(context: df.DurableOrchestrationContext):
    return (yield context.wait_for_external_event("go"))


ostinato_azure.function_app(ours.app, functions=app)
