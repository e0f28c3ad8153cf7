"""Imports run downwards only, and what must stay pure or apart does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import PACKAGES, Module, is_within, modules

LAYERS: tuple[tuple[str, ...], ...] = (
    ("supervisor.__main__",),
    ("supervisor.cli",),
    ("supervisor.daemon", "supervisor.doctor"),
    ("supervisor.http_api",),
    ("supervisor.api", "supervisor.service", "supervisor.fleet", "supervisor.sweep"),
    ("supervisor.supervision", "supervisor.recovery", "supervisor.faults", "supervisor.consoles"),
    ("supervisor.host",),
    ("supervisor.snapshots", "supervisor.past"),
    ("supervisor.registry", "supervisor.admission", "supervisor.snapshot"),
    ("supervisor.replay",),
    ("supervisor.journal",),
    ("supervisor.schema",),
    ("supervisor.actor", "supervisor.admission.state"),
    (
        "supervisor.cause",
        "supervisor.state_directory",
        "supervisor.cocos",
        "supervisor.checkpoints",
        "supervisor.log_key",
    ),
    (
        "supervisor.caller",
        "supervisor.artifacts",
        "supervisor.qmp",
        "supervisor.manifest",
        "supervisor.telemetry",
    ),
    ("supervisor.access",),
    ("supervisor.config",),
    ("supervisor.written",),
    ("supervisor.vm", "supervisor.admission.events", "supervisor.secret_file"),
    (
        "eventlog",
        "chronovisor_api",
        "chronovisor_guest",
        "supervisor.cannot_serve",
        "supervisor.clock",
        "supervisor.sd_notify",
        "supervisor.sev",
    ),
)
"""From the top; a module imports what lies below it, and nothing that stands beside it.

``supervisor.admission`` lies in three layers: the journal that it uses writes its words.
"""

OURS = ("supervisor", "eventlog", "chronovisor_api", "chronovisor_guest")
SOURCES = modules(*PACKAGES)

CORE_MAY_IMPORT = (
    *("base64", "collections.abc", "enum", "hashlib", "itertools", "json", "posixpath", "re"),
    *("typing", "uuid", "msgspec", "supervisor.vm"),
)
"""Nothing in it reads a clock, a disk, an environment or a source of chance."""

ASYNCIO = ("asyncio", "trio_asyncio")
BRIDGES = {
    "supervisor.api.asyncio_bridge",
    "supervisor.api.asyncio_patience",
    "supervisor.cli.connection",
}


def layer(name: str) -> int | None:
    """Return the row of the table that a dotted name belongs to: the longest prefix wins."""
    fits = [
        (len(prefix), number)
        for number, row in enumerate(LAYERS)
        for prefix in row
        if is_within(name, (prefix,))
    ]
    return max(fits)[1] if fits else None


def unit(name: str) -> str:
    """Return the entry of the table that a dotted name belongs to."""
    return max((prefix for row in LAYERS for prefix in row if is_within(name, (prefix,))), key=len)


def upwards(module: Module) -> set[str]:
    """Return what a module imports although it does not lie below it."""
    here = layer(module.name)
    assert here is not None, f"{module} has no place in the table of layers"
    return {
        name
        for name in module.imports_from(*OURS)
        if (there := layer(name)) is not None and there <= here and unit(name) != unit(module.name)
    }


def foreign(modules: list[Module], *allowed: str) -> dict[str, set[str]]:
    """Return what modules import beside what they may."""
    beside = {
        str(module): {name for name in module.imports if not is_within(name, allowed)}
        for module in modules
    }
    return {module: names for module, names in beside.items() if names}


def test_imports_run_downwards() -> None:
    found = {str(m): upwards(m) for m in SOURCES if m.name != "supervisor"}
    assert {module: names for module, names in found.items() if names} == {}


def test_the_core_imports_nothing_that_knows_the_world() -> None:
    assert foreign(modules("supervisor/vm"), *CORE_MAY_IMPORT) == {}


def test_the_event_log_could_be_a_package_of_its_own() -> None:
    named = ("eventlog", "trio", "msgspec", "google_crc32c", "cryptography")
    allowed = (*named, *sys.stdlib_module_names)
    assert foreign(modules("eventlog"), *allowed) == {}


def test_what_a_guest_owner_uses_knows_neither_daemon_nor_event_loop() -> None:
    allowed = ("supervisor.sev", "msgspec", "cryptography", "sevsnpmeasure")
    waits = {"asyncio", "socket", "subprocess", "threading"}
    own = (*allowed, *(sys.stdlib_module_names - waits))
    assert foreign(modules("supervisor/sev"), *own) == {}


@pytest.mark.parametrize("root", ["protos/chronovisor_api", "tools/guest/chronovisor_guest"])
def test_what_is_used_without_the_daemon_knows_nothing_of_it(root: str) -> None:
    own = Path(root).name
    others = [package for package in OURS if package != own]
    assert {str(m): found for m in modules(root) if (found := m.imports_from(*others))} == {}


def test_asyncio_ends_at_the_bridges() -> None:
    crossing = {module.name for module in SOURCES if module.imports_from(*ASYNCIO)}
    assert {name for name in crossing if not is_within(name, ("chronovisor_api",))} == BRIDGES


def test_only_the_command_line_knows_the_composition_root() -> None:
    users = {module.name for module in SOURCES if module.imports_from("supervisor.daemon")}
    assert users
    assert all(is_within(name, ("supervisor.cli", "supervisor.__main__")) for name in users)


def test_only_the_host_layer_speaks_qmp() -> None:
    users = {module.name for module in SOURCES if module.imports_from("supervisor.qmp")}
    assert all(is_within(name, ("supervisor.host", "supervisor.qmp")) for name in users)


def test_the_daemon_starts_without_what_only_tests_need() -> None:
    code = (
        "import sys, supervisor.daemon; print('pytest' in sys.modules, 'hypothesis' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "False"]
