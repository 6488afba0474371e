"""Imports point one way, and `import ostinato` is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ostinato

PACKAGE = Path(ostinato.__file__).parent

LAYERS = """
    errors waits
    failures arguments tokens
    codec retry ids
    events
    actions client
    triggers
    definitions
    starting execution
    tasks
    durable_http replay_logging
    context
    replay
    rewind
    activities
    app
    .
    local.clock local.faults local.notices local.store
    local.checks local.scheduling local.process_child
    local.progress local.running local.rows local.board local.turns local.loop local.processes
    local.batch local.schema local.cache local.workers local.memory
    local.sqlite local.instances local.flight
    local.cycle
    local.engine
    local.gateway
    local.client
    local.host
    local
    testing.clock testing.replayer testing.store_contract
    testing.crashes
    testing.azure.dotnet testing.azure.status testing.azure.events testing.azure.waiting
    testing.azure.decisions testing.azure.event_json testing.azure.options testing.azure.retries
    testing.azure.framework testing.azure.history
    testing.azure.deployments
    testing.azure.ports testing.azure.worker
    testing.azure.answers
    testing.azure.shim
    testing.azure.hub_errors testing.azure.recording testing.azure.rewind
    testing.azure.http_activity testing.azure.instance testing.azure.event_protobuf
    testing.azure.activity_work testing.azure.entities testing.azure.passthrough
    testing.azure.timers testing.azure.wire
    testing.azure.pool testing.azure.post
    testing.azure.dispatcher
    testing.azure.hub
    testing.azure.worker_bindings testing.azure.worker_child testing.azure.wrapping
    testing.azure.worker_direct
    testing.azure.host_rules
    testing.azure.binding_expressions testing.azure.host_settings testing.azure.ncrontab
    testing.azure.azurite
    testing.azure.worker_library
    testing.azure.worker_durable testing.azure.triggers
    testing.azure.triggers_queue testing.azure.triggers_timer
    testing.azure.triggers_blob testing.azure.worker_storage testing.azure.http_routes
    testing.azure.http_functions testing.azure.triggers_found testing.azure.http_server
    testing.azure.binding testing.azure.management_view testing.azure.sidecar
    testing.azure.management
    testing.azure.functions_host
    testing.azure.emulator
    testing.azure
    testing
    cli.outcome
    cli.inputs cli.display cli.discovery cli.printing cli.mending
    cli.targets
    cli.hosting cli.listing cli.waiting
    cli.steering
    cli.running
    cli.azure
    cli.emulate
    cli.commands
    cli
    cli.__main__
"""
"""Lowest first; a module imports from lines above its own only. ``.`` is the package itself."""

LEVELS = {
    name: level for level, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()
}

CORE = LAYERS[: LAYERS.index(" .\n")].split()

HEAVY = {
    "asyncio",
    "concurrent",
    "email",
    "hashlib",
    "html",
    "http",
    "httpx",
    "json",
    "logging",
    "multiprocessing",
    "ostinato.cli",
    "ostinato.local",
    "ostinato.replay",
    "ostinato.replay_logging",
    "ostinato.testing",
    "pickle",
    "pydantic",
    "random",
    "rich",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "traceback",
    "typer",
    "zoneinfo",
}
"""What a start of a serverless function does not pay for before it is used."""


def module_files() -> dict[str, Path]:
    """Every module by its name within the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "."] = path
    return found


FILES = module_files()


class _Imports(ast.NodeVisitor):
    """Gathers what a module imports when it runs: not what type checkers alone see."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str]]] = []

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            for otherwise in node.orelse:
                self.visit(otherwise)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, []) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports within the package are absolute"
        self.found.append((node.module or "", [alias.name for alias in node.names]))


def imports(module: str) -> Iterator[str]:
    """Absolute names of the modules that a module imports, at its top or within functions."""
    visitor = _Imports()
    visitor.visit(ast.parse(FILES[module].read_text(encoding="utf-8")))
    for origin, names in visitor.found:
        inside = origin == "ostinato" or origin.startswith("ostinato.")
        below = [name for name in names if inside and within(f"{origin}.{name}") in FILES]
        yield from (f"{origin}.{name}" for name in below)
        if len(below) < max(1, len(names)):
            yield origin


def within(name: str) -> str:
    """A module's name within the package."""
    return name.removeprefix("ostinato").removeprefix(".") or "."


def test_every_module_has_its_layer():
    assert set(LEVELS) == set(FILES)


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_point_to_lower_layers_only(module: str):
    ours = {within(name) for name in imports(module) if name.split(".")[0] == "ostinato"}
    assert {name for name in ours if LEVELS[name] >= LEVELS[module]} == set()


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_bare_core_needs_msgspec_alone(module: str):
    outside = {name.split(".")[0] for name in imports(module)} - set(sys.stdlib_module_names)
    optional = {"durable_http": {"httpx"}, "codec": {"pydantic"}, "tokens": {"azure"}}
    assert outside - optional.get(module, set()) <= {"ostinato", "msgspec"}


@pytest.mark.parametrize("module", ["actions", "context", "events", "execution", "replay", "tasks"])
def test_the_core_knows_no_clock_no_randomness_and_no_outside(module: str):
    forbidden = {"asyncio", "os", "secrets", "socket", "sqlite3", "threading", "time"}
    assert forbidden.isdisjoint(imports(module))
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert called.isdisjoint({"now", "utcnow", "today", "uuid1", "uuid4", "urandom"})


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, ostinato; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert "ostinato.app" in loaded
    assert HEAVY.intersection(loaded) == set()


def test_the_hosts_and_the_test_tools_are_there_when_asked_for():
    assert ostinato.local.__name__ == "ostinato.local"
    assert ostinato.testing.__name__ == "ostinato.testing"
    with pytest.raises(AttributeError, match="'ostinato' has no attribute 'nonsense'"):
        _ = ostinato.nonsense
