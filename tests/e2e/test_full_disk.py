"""A disk that is full is an answer, and afterwards nothing half-made is left."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, running

pytestmark = pytest.mark.guest

DISK_BYTES = 48 * 1024 * 1024
"""Two segments of the log, and little more."""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", directory]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


@pytest.mark.fault("secret-exposed")
def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(
    small_disk: Path, guest_dir: Path, manifests: Manifests
) -> None:
    manifest = manifests.shell("true", '[[datasets]]\nname = "large"\npath = "large"\n')
    with (manifest.parent / "large").open("wb") as large:
        large.truncate(2 * DISK_BYTES)
    with running(Daemon(small_disk / "state", guest_dir)) as daemon:
        said = daemon.run("submit", manifest, codes=(4,))
        assert "No space left" in said
        files = [f for f in (daemon.state_dir / "artifacts").rglob("*") if f.is_file()]
        assert sum(file.stat().st_size for file in files) < 1024
        assert daemon.run("list", "--json") == '{"vms":[]}\n'


@pytest.mark.fault("host-in-want")
def test_a_launch_for_which_the_disk_has_no_room_fails_with_that_reason(
    small_disk: Path, guest_dir: Path, manifests: Manifests
) -> None:
    with running(Daemon(small_disk / "state", guest_dir)) as daemon:
        # Layers are joined into one file in the state directory, and these are too large for it.
        layers = 'initrd = ["reference-base", "reference-python"]\n'
        vm = daemon.submit(manifests.shell("true", layers), "--wait", codes=(1,))
        assert vm["outcome"] == "qemu-failed-to-start"
        assert "space" in vm["detail"].lower()
        assert "intact" in daemon.run("log", "verify")


def test_a_result_for_which_the_host_has_no_room_fails_the_computation_with_that_reason(
    small_disk: Path, guest_dir: Path, manifests: Manifests
) -> None:
    script = 'dd if=/dev/urandom of="$CHRONOVISOR_RESULTS/large" bs=1M count=60'
    limits = 'memory = "512M"\n[limits]\nresult_size = "64M"\n'
    with running(Daemon(small_disk / "state", guest_dir)) as daemon:
        vm = daemon.submit(manifests.shell(script, limits), "--wait", codes=(1,))
        assert (vm["phase"], vm["outcome"]) == ("failed", "computation-failed")
        assert "the host's disk failed the guest (write: No space left" in vm["detail"]
