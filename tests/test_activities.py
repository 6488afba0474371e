import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from ostinato.activities import (
    ActivityCall,
    ActivityCompleted,
    ActivityContext,
    ActivityFailed,
    CancelToken,
    Outcome,
    run_activity,
    run_activity_async,
)
from ostinato.definitions import ActivityDefinition
from ostinato.errors import TaskCancelledError
from ostinato.failures import Failure

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


@dataclass
class Order:
    item: str
    amount: int


def define(fn: Callable[..., Any] | None, **options: Any) -> ActivityDefinition:
    return ActivityDefinition(name=getattr(fn, "__name__", "nothing"), fn=fn, **options)


def call(name: str = "f", **fields: Any) -> ActivityCall:
    ids: dict[str, Any] = {
        "instance_id": "order-1",
        "execution_id": "e1",
        "task_id": 3,
        "first_id": 3,
    }
    return ActivityCall(name=name, **{**ids, **fields})


def run(fn: Callable[..., Any] | None, given: str = "null", **options: Any) -> Outcome:
    definition = define(fn)
    return run_activity(definition, call(definition.name, input=given), **options)


def run_async(fn: Callable[..., Any], **fields: Any) -> Outcome:
    return asyncio.run(run_activity_async(define(fn), call(fn.__name__, **fields)))


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome, ActivityFailed)
    return outcome.failure


def test_the_input_is_decoded_by_its_annotation_and_the_result_is_json():
    def double(order: Order) -> Order:
        return Order(order.item, order.amount * 2)

    outcome = run(double, '{"item":"tea","amount":2}')
    assert outcome == ActivityCompleted('{"item":"tea","amount":4}')


def test_an_activity_may_take_nothing():
    assert run(lambda: 1, "5") == ActivityCompleted("1")


def test_an_activity_may_take_the_context_alone():
    def who(context: ActivityContext) -> str:
        return context.instance_id

    assert run(who, "5") == ActivityCompleted('"order-1"')


def test_an_activity_may_take_input_and_context():
    def both(given: int, context: ActivityContext) -> list[int]:
        return [given, context.task_id]

    assert run(both, "5") == ActivityCompleted("[5,3]")


def test_the_context_tells_the_attempt():
    def tell(context: ActivityContext) -> list[Any]:
        return [context.execution_id, context.name, context.attempt, context.cancelled]

    outcome = run_activity(define(tell), call("tell", attempt=2))
    assert outcome == ActivityCompleted('["e1","tell",2,false]')


def test_the_idempotency_key_is_that_of_the_first_attempt():
    keys: list[str] = []

    def note(context: ActivityContext) -> None:
        keys.append(context.idempotency_key)

    run_activity(define(note), call("note", task_id=3, first_id=3))
    run_activity(define(note), call("note", task_id=9, first_id=3, attempt=2))
    run_activity(define(note), call("note", task_id=4, first_id=4))
    assert keys[0] == keys[1] != keys[2]


def test_an_async_activity_is_awaited():
    async def double(given: int) -> int:
        await asyncio.sleep(0)
        return given * 2

    assert run_async(double, input="4") == ActivityCompleted("8")


def test_an_input_that_does_not_fit_is_a_failure_that_names_the_activity_and_the_place():
    def double(order: Order) -> None:
        raise AssertionError

    failed = failure(run(double, '{"item":"tea","amount":"two"}'))
    assert failed.type == "CodecError"
    assert "input of activity 'double'" in failed.message
    assert "$.amount" in failed.message


def test_a_result_that_is_no_json_is_a_failure_that_names_the_activity():
    failed = failure(run(object))
    assert failed.type == "CodecError"
    assert "result of activity 'object'" in failed.message


def test_a_nan_in_a_result_is_a_failure():
    assert failure(run(lambda: [float("nan")])).type == "CodecError"


def test_a_result_over_the_limit_is_a_failure():
    assert failure(run(lambda: "x" * 99, limit=100)).type == "PayloadTooLargeError"
    assert run(lambda: "x" * 98, limit=100) == ActivityCompleted(f'"{"x" * 98}"')


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_is_a_failure_with_task_and_attempt(kind: Kind):
    def sync() -> None:
        raise LookupError("no such order")

    async def coroutine() -> None:
        raise LookupError("no such order")

    fn = sync if kind == "sync" else coroutine
    outcome = (
        run_activity(define(fn), call(fn.__name__, attempt=2))
        if kind == "sync"
        else run_async(fn, attempt=2)
    )
    failed = failure(outcome)
    assert (failed.type, failed.message) == ("LookupError", "no such order")
    assert (failed.task, failed.attempt) == (fn.__name__, 2)


def test_the_traceback_begins_in_the_users_function():
    def broken() -> None:
        raise ValueError

    assert failure(run(broken)).traceback.count("File ") == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("kind", KINDS)
def test_an_activity_cannot_end_its_host(kind: Kind, error: type[BaseException]):
    def sync() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    outcome = run(sync) if kind == "sync" else run_async(coroutine)
    assert failure(outcome).type == error.__name__


def test_a_generator_function_is_no_activity():
    def rows() -> Iterator[int]:
        yield 1

    failed = failure(run(rows))
    assert failed.type == "TypeError"
    assert "'rows' returned a generator" in failed.message
    assert "return a list" in failed.message


def test_an_async_generator_function_is_no_activity():
    async def rows() -> AsyncIterator[int]:
        yield 1

    assert "returned a async_generator" in failure(run(rows)).message


def test_a_sync_function_that_returns_a_coroutine_is_told_the_mend():
    async def fetch() -> None: ...

    failed = failure(run(lambda: fetch()))
    assert failed.type == "TypeError"
    assert "async def" in failed.message


def test_a_foreign_activity_has_nothing_to_run():
    failed = failure(run(None))
    assert failed.type == "ActivityError"
    assert "another application" in failed.message


def test_a_function_that_nothing_could_call_fails_its_attempts():
    def three(a: int, b: int, c: int) -> None: ...

    assert failure(run(three)).type == "RegistrationError"


def test_a_sync_attempt_over_its_timeout_fails_and_is_asked_to_stop():
    stopped = threading.Event()

    def wait(context: ActivityContext) -> None:
        context.wait_cancelled()
        stopped.set()

    failed = failure(run_activity(define(wait), call("wait", timeout=0.01)))
    assert (failed.type, failed.task) == ("TimeoutError", "wait")
    assert "0.01 seconds" in failed.message
    assert "builtins.TimeoutError" in failed.bases
    assert stopped.wait(10)


def test_an_async_attempt_over_its_timeout_fails_and_is_cancelled():
    async def both() -> tuple[Outcome, bool]:
        cancelled = asyncio.Event()

        async def wait(context: ActivityContext) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                assert context.cancelled
                cancelled.set()

        outcome = await run_activity_async(define(wait), call("wait", timeout=0.01))
        return outcome, await asyncio.wait_for(cancelled.wait(), 10)

    outcome, cancelled = asyncio.run(both())
    assert failure(outcome).type == "TimeoutError"
    assert cancelled


def test_a_coroutine_that_ignores_its_cancellation_is_not_waited_for():
    async def stubborn_and_others() -> Outcome:
        release = asyncio.Event()
        ended = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            ended.set()

        outcome = await run_activity_async(define(stubborn), call("stubborn", timeout=0.01))
        assert not ended.is_set()
        release.set()
        await asyncio.wait_for(ended.wait(), 10)
        return outcome

    assert failure(asyncio.run(stubborn_and_others())).type == "TimeoutError"


def test_an_attempt_within_its_timeout_completes():
    async def quick() -> int:
        return 1

    assert run_activity(define(lambda: 1), call(timeout=60.0)) == ActivityCompleted("1")
    assert run_async(quick, timeout=60.0) == ActivityCompleted("1")


def test_the_activitys_own_timeout_holds_where_the_call_has_none():
    def wait(context: ActivityContext) -> None:
        context.wait_cancelled()

    outcome = run_activity(define(wait, timeout=0.01), call("wait"))
    assert failure(outcome).type == "TimeoutError"


def test_a_timeout_error_of_the_users_own_keeps_its_message():
    def refuse() -> None:
        raise TimeoutError("the bank did not answer")

    outcome = run_activity(define(refuse), call("refuse", timeout=60.0))
    assert failure(outcome).message == "the bank did not answer"


def test_a_cancellation_that_a_coroutine_raises_itself_is_a_failure():
    async def give_up() -> None:
        raise asyncio.CancelledError("enough")

    assert failure(run_async(give_up)).type == "CancelledError"


def test_cancelling_the_runner_cancels_the_coroutine():
    async def cancelled() -> bool:
        started = asyncio.Event()

        async def wait() -> None:
            started.set()
            await asyncio.Event().wait()

        runner = asyncio.create_task(run_activity_async(define(wait), call("wait")))
        await started.wait()
        runner.cancel()
        await asyncio.wait({runner})
        return runner.cancelled()

    assert asyncio.run(cancelled())


def test_context_variables_reach_an_attempt_with_a_timeout():
    request = contextvars.ContextVar("request", default="none")

    def read() -> str:
        return request.get()

    def with_request() -> Outcome:
        request.set("r1")
        return run_activity(define(read), call("read", timeout=60.0))

    assert contextvars.copy_context().run(with_request) == ActivityCompleted('"r1"')


def test_a_cancelled_attempt_sees_it():
    token = CancelToken()
    token.cancel()
    seen: list[bool] = []

    def look(context: ActivityContext) -> None:
        seen.extend([context.cancelled, context.wait_cancelled(0)])
        context.raise_if_cancelled()

    failed = failure(run_activity(define(look), call("look"), token))
    assert failed.type == TaskCancelledError.__name__
    assert seen == [True, True]


def test_an_attempt_that_is_not_cancelled_goes_on():
    def look(context: ActivityContext) -> bool:
        context.raise_if_cancelled()
        return context.wait_cancelled(0)

    assert run(look) == ActivityCompleted("false")


def test_heartbeats_carry_json():
    beats: list[str | None] = []

    def beat(context: ActivityContext) -> None:
        context.heartbeat()
        context.heartbeat({"rows": 10})

    run(beat, on_heartbeat=beats.append)
    assert beats == [None, '{"rows":10}']


def test_a_heartbeat_nobody_listens_to_is_harmless():
    def beat(context: ActivityContext) -> None:
        context.heartbeat(object())

    assert run(beat) == ActivityCompleted("null")


def test_heartbeat_details_that_are_no_json_are_named():
    def beat(context: ActivityContext) -> None:
        context.heartbeat(object())

    failed = failure(run(beat, on_heartbeat=lambda _: None))
    assert "heartbeat of activity 'beat'" in failed.message
