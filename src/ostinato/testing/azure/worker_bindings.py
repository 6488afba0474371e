"""One call of a function with everything around it: other inputs before, outputs after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ostinato.testing.azure.worker import (
    Binding,
    BindingError,
    Data,
    Function,
    Invocation,
    Text,
    Worker,
)


class Bindings(Protocol):
    """What functions read besides their trigger, and where what they give goes."""

    def read(
        self, function: Function, binding: Binding, metadata: Mapping[str, Data]
    ) -> Data | None:
        """Fetch an input; None leaves the parameter out of the call.

        Raises:
            BindingError: There is no such input here, or it cannot be told which.
        """
        ...

    def write(
        self, function: Function, binding: Binding, data: Data, metadata: Mapping[str, Data]
    ) -> None:
        """Deliver an output.

        Raises:
            BindingError: There is no such output here, or it cannot be told which.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClientBindings:
    """Durable clients alone, each told by ``payload`` where its task hub is."""

    payload: Callable[[Binding], str]

    def read(
        self, function: Function, binding: Binding, metadata: Mapping[str, Data]
    ) -> Data | None:
        """Fetch a durable client's text."""
        if str(binding["type"]).lower() == "durableclient":
            return Text(self.payload(binding))
        raise unsupported(function, binding)

    def write(
        self, function: Function, binding: Binding, data: Data, metadata: Mapping[str, Data]
    ) -> None:
        """Refuse."""
        raise unsupported(function, binding)


def unsupported(function: Function, binding: Binding) -> BindingError:
    """The error for a binding that is not served."""
    return BindingError(
        f"function {function.name!r}: the stand-in of the Functions host has no binding of type"
        f" {binding['type']!r} (parameter {binding['name']!r}) in direction"
        f" {binding.get('direction', 'IN')!r}"
    )


def call(
    worker: Worker,
    bindings: Bindings,
    function: Function,
    data: Data,
    metadata: Mapping[str, Data] | None = None,
) -> Data | None:
    """Call a function with the data of its trigger; return what it returned.

    A return value that is bound to something other than the trigger's answer (a queue, a blob)
    is delivered there, and is not returned.

    Raises:
        FunctionFailed: It raised.
        BindingError: It has a binding that cannot be served.
        WorkerLost: The worker ended before it answered.
        Undeployed: The worker was closed before it answered.
    """
    metadata = metadata or {}
    inputs = {str(function.trigger["name"]): data}
    for binding in function.inputs:
        given = bindings.read(function, binding, metadata)
        if given is not None:
            inputs[str(binding["name"])] = given
    outcome = worker.invoke(Invocation(function=function.name, inputs=inputs, metadata=metadata))
    answer = outcome.value
    for binding in function.outputs:
        name, is_http = str(binding["name"]), str(binding["type"]).lower() == "http"
        given = outcome.value if name == "$return" else outcome.outputs.get(name)
        if is_http:
            answer = given
        elif given is not None:
            bindings.write(function, binding, given, metadata)
            answer = None if name == "$return" else answer
    return answer
