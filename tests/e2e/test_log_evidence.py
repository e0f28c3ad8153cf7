"""What an auditor does with the log of a real daemon: key, checkpoint, proof, and a forgery."""

import shutil
import signal
from pathlib import Path

import pytest

from eventlog import read_log
from tests.cli import logs
from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.guest


def test_a_result_is_proved_and_a_rewritten_log_is_refused(
    stopped_daemon: Daemon, manifests: Manifests, tmp_path: Path
) -> None:
    daemon = stopped_daemon
    daemon.start()
    first = daemon.submit(manifests.shell("echo 42"))["vm_id"]
    daemon.wait_for(first, "vm.stopped.v1")
    key = daemon.json("log", "key")["key"]
    saved, proof = tmp_path / "saved.txt", tmp_path / "result.proof"
    covered = daemon.json("log", "checkpoint", "-o", saved)["events"]

    (result,) = [e for e in daemon.events("--vm", first) if e["type"] == "vm.result-recorded.v1"]
    daemon.json("log", "prove", str(result["position"]), "-o", proof)
    shown = daemon.json("log", "check-proof", proof, "--key", key)
    assert shown["event"]["data"] == result["data"]
    tampered = bytearray(proof.read_bytes())
    tampered[tampered.index(b"sha256") + 12] ^= 1
    (tmp_path / "tampered.proof").write_bytes(tampered)
    told = daemon.json("log", "check-proof", tmp_path / "tampered.proof", "--key", key, codes=(6,))
    assert told["holds"] is False

    second = daemon.submit(manifests.shell("echo 43"))["vm_id"]
    daemon.wait_for(second, "vm.stopped.v1")
    assert daemon.json("log", "verify", "--against", saved)["against"][0]["events"] == covered
    assert daemon.end(signal.SIGTERM) == 0
    verified = daemon.json("log", "verify", "--against", saved)
    assert verified["checkpoint"] == verified["events"], "the end of this life is signed, too"

    logs.rewrite(daemon.state_dir, result["event_id"], "forged")
    told = daemon.json("log", "verify", "--against", saved, codes=(6,))
    assert told["intact"] is False
    assert "the log was rewritten" in told["why"]
    assert (daemon.state_dir / "log.key").stat().st_mode & 0o777 == 0o600


def test_a_daemon_does_not_go_on_with_a_log_that_is_not_the_one_it_signed(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    daemon = stopped_daemon
    daemon.start()
    daemon.json("log", "checkpoint")
    daemon.end(signal.SIGTERM)
    (daemon.state_dir / "snapshot").unlink()
    checkpoint = daemon.state_dir / "log" / "checkpoint"
    shutil.copy(checkpoint, tmp_path)
    (started, *_) = read_log(daemon.state_dir / "log")
    logs.rewrite(daemon.state_dir, started.event_id, "forged")
    shutil.copy(tmp_path / "checkpoint", checkpoint)
    code, stderr = daemon.serve_and_fail()
    assert (code, "the log was rewritten" in stderr) == (7, True)
