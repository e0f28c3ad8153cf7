import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon_process import Daemon, running
from tests.e2e.own_guest import write_layer
from tests.e2e.sev_owner import SERVE, Owner

HEADER = """\
name = "{name}"
[algorithm]
path = "algorithm.sh"
[vm]
accel = "tcg"
"""


class Manifests:
    """Writes computations: a shell script and what the manifest adds to it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def shell(self, script: str, more: str = "", name: str = "test") -> Path:
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir()
        (directory / "algorithm.sh").write_text(f"#!/bin/sh\n{script}\n")
        manifest = directory / "manifest.toml"
        manifest.write_text(HEADER.format(name=name) + more)
        return manifest


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    directory = tmp_path / "manifests"
    directory.mkdir()
    return Manifests(directory)


@pytest.fixture
def stopped_daemon(guest_dir: Path) -> Iterator[Daemon]:
    # Not tmp_path: its name is long, and a socket's path may not be.
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        daemon = Daemon(Path(directory) / "state", guest_dir)
        yield daemon
        daemon.end_for_good()


@pytest.fixture
def daemon(stopped_daemon: Daemon) -> Iterator[Daemon]:
    with running(stopped_daemon) as daemon:
        yield daemon


@pytest.fixture
def owner(stopped_daemon: Daemon, guest_dir: Path) -> Iterator[Owner]:
    with tempfile.TemporaryDirectory(prefix="cv-") as table:
        owner = Owner(stopped_daemon, Path(table), guest_dir)
        with running(stopped_daemon, *SERVE):
            yield owner


@pytest.fixture(scope="session")
def own_layer(guest_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes a guest with an agent of its own of the reference base."""
    path = tmp_path_factory.mktemp("own") / "own.cpio"
    write_layer(path, guest_dir)
    return path
