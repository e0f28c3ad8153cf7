"""The computations of a soak: short, long, failing, deaf and dying ones."""

from collections.abc import Iterator
from pathlib import Path

from supervisor.cli.connection import Daemon
from supervisor.manifest import Prepared, load, prepare

SCRIPTS = {
    "quick": "echo 42 >/results/answer",
    "slow": "sleep 20; echo 42 >/results/answer",
    "failing": "exit 3",
    "deaf": "trap '' TERM; sleep 600",
    "panicking": "echo c >/proc/sysrq-trigger; sleep 60",
    "loud": "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
}
RESTARTING = {"failing"}

MANIFEST = """\
name = "{name}"
[algorithm]
path = "{name}.sh"
[vm]
accel = "tcg"
memory = "128M"
[limits]
ttl = "40s"
launch_deadline = "40s"
stop_grace = "3s"
"""
RESTART = """\
[restart]
policy = "on-failure"
max_restarts = 2
period = "10m"
backoff = "1s"
"""


def written(directory: Path) -> list[Prepared]:
    """Write all scripts with their manifests; return them as the daemon takes them."""
    return list(_written(directory))


def _written(directory: Path) -> Iterator[Prepared]:
    for name, script in SCRIPTS.items():
        (directory / f"{name}.sh").write_text(f"#!/bin/sh\n{script}\n")
        manifest = directory / f"{name}.toml"
        manifest.write_text(MANIFEST.format(name=name) + (RESTART if name in RESTARTING else ""))
        yield prepare(load(manifest), manifest)


def uploaded(daemon: Daemon, computations: list[Prepared]) -> None:
    """Give the daemon every file that the computations name."""
    from supervisor.cli.submitting import upload

    for computation in computations:
        for file in computation.uploads:
            upload(daemon, file)
