"""A computation of several parties with real guests: whoever comes first, and whatever dies."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.e2e.daemon_process import COMMAND_S, Daemon, Json

pytestmark = pytest.mark.guest

GUIDE = (Path(__file__).parents[2] / "docs" / "parties.md").read_text()
PROGRAM = b"#!/bin/sh\nwc -w <$CHRONOVISOR_DATASETS/words.txt >$CHRONOVISOR_RESULTS/count\n"
WORDS = b"one two three\n"
MANIFEST = """\
name = "shared"
result_consumers = ["{consumer}"]
algorithm = {{provider = "Alice"}}
datasets = [{{name = "words.txt", provider = "Bob", id = "words"}}]
[vm]
accel = "tcg"
[limits]
inputs_deadline = "{deadline}"
"""
COPYING = """\
name = "copying"
algorithm = {{sha256 = "{algorithm}"}}
datasets = [{{name = "words.txt", sha256 = "{result}"}}]
"""


class Parties:
    """Alice, Bob and the one who submits, on one host."""

    def __init__(self, daemon: Daemon, directory: Path) -> None:
        self.daemon = daemon
        self._directory = directory

    def submit(self, *, consumer: str = "token:default", deadline: str = "2h") -> Json:
        manifest = self._directory / "shared.toml"
        manifest.write_text(MANIFEST.format(consumer=consumer, deadline=deadline))
        return self.daemon.submit(manifest, "--vm-id", "shared")

    def provide(self, content: bytes, *options: str, codes: tuple[int, ...] = (0,)) -> str:
        file = self._directory / "input"
        file.write_bytes(content)
        return self.daemon.run("provide", "shared", file, *options, codes=codes)

    def curl(
        self, method: str, path: str, content: bytes = b"", kind: str = "application/octet-stream"
    ) -> tuple[int, bytes]:
        """Ask over HTTP; return the status and the body."""
        http = self.daemon.ready["http"]
        token = (self.daemon.state_dir / "token").read_text().strip()
        body = ["--data-binary", "@-", "-H", f"Content-Type: {kind}"]
        done = subprocess.run(
            [
                *("curl", "-sS", "-X", method, "-H", f"Authorization: Bearer {token}"),
                *(body if content else ()),
                *("-w", "%{http_code}", "-o", "answer"),
                f"http://{http['host']}:{http['port']}/v1/vms/shared/{path}",
            ],
            cwd=self._directory,
            input=content,
            capture_output=True,
            timeout=COMMAND_S,
            check=True,
        )
        return int(done.stdout), (self._directory / "answer").read_bytes()


@pytest.fixture(name="parties")
def _parties(daemon: Daemon, tmp_path: Path) -> Parties:
    return Parties(daemon, tmp_path)


def count_in(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile("results/count")
        assert member is not None
        return member.read().strip()


def test_the_commands_of_the_guide_run_as_they_stand(daemon: Daemon, tmp_path: Path) -> None:
    (manifest,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "shared.toml").write_text(manifest)
    script = "\n".join(re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL))
    http = daemon.ready["http"]
    environment = daemon.environment | {"CHRONOVISOR_HTTP": f"http://{http['host']}:{http['port']}"}
    environment["PATH"] = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 inputs missing" in done.stdout
    assert "shared has algorithm of Alice; nothing is missing" in done.stderr
    daemon.wait_for("shared", "vm.stopped.v1")
    daemon.run("result", "shared", "-o", tmp_path / "result.tar")
    assert count_in((tmp_path / "result.tar").read_bytes()) == b"3"


def test_a_daemon_that_dies_between_two_parties_forgets_neither(
    parties: Parties, tmp_path: Path
) -> None:
    daemon = parties.daemon
    assert parties.submit()["phase"] == "awaiting-inputs"
    parties.provide(PROGRAM, "--provider", "Alice")
    daemon.end(signal.SIGKILL)
    daemon.start()
    waiting = daemon.json("show", "shared")
    assert [each["came"] is not None for each in waiting["inputs"]] == [True, False]
    status, _ = parties.curl("PUT", "inputs/Bob/words", WORDS)
    assert status == 200
    daemon.end(signal.SIGKILL)
    daemon.start()
    daemon.wait_for("shared", "vm.stopped.v1")
    status, archive = parties.curl("GET", "result")
    assert (status, count_in(archive)) == (200, b"3")
    # Nor does anybody get it by its digest, as an input of a computation that copies.
    copying = tmp_path / "copying.toml"
    algorithm, result = hashlib.sha256(PROGRAM).hexdigest(), hashlib.sha256(archive).hexdigest()
    copying.write_text(COPYING.format(algorithm=algorithm, result=result))
    assert "datasets[0].sha256: no artifact has" in daemon.run("submit", copying, codes=(4,))
    came = [e for e in daemon.events() if e["type"] == "vm.input-provided.v1"]
    assert [(e["data"]["provider"], e["principal"]) for e in came] == [
        ("Alice", f"uid:{os.geteuid()}"),
        ("Bob", "token:default"),
    ]


def test_what_does_not_belong_is_refused_and_changes_nothing(parties: Parties) -> None:
    version = parties.submit(consumer="uid:4242")["version"]
    assert "awaits no input 'Bob/iris'; it awaits Alice/algorithm, Bob/words" in parties.provide(
        WORDS, "--provider", "Bob", "--id", "iris", codes=(5,)
    )
    assert parties.curl("PUT", "inputs/Mallory/words", WORDS)[0] == 404
    nobodys = b'{"sha256": "%s"}' % (b"ab" * 32)
    assert parties.curl("PUT", "inputs/Bob/words", nobodys, "application/json")[0] == 400
    assert parties.curl("PUT", "inputs/Bob/words", WORDS)[0] == 200
    assert parties.curl("PUT", "inputs/Bob/words", WORDS)[0] == 200
    assert parties.curl("PUT", "inputs/Bob/words", b"other words")[0] == 409
    assert parties.daemon.json("show", "shared")["version"] == version + 1
    # Not of those for whom it is, and there is none: the one is told before the other.
    assert parties.curl("GET", "result")[0] == 403
    parties.daemon.run("stop", "shared")
    assert parties.daemon.json("show", "shared")["phase"] == "stopped"


def test_who_comes_too_late_is_told_and_a_start_waits_once_more(parties: Parties) -> None:
    daemon = parties.daemon
    parties.submit(deadline="1s")
    failed = daemon.wait_for("shared", "vm.failed.v1")
    assert failed["data"]["outcome"] == "inputs-deadline"
    assert failed["data"]["detail"].endswith("Alice/algorithm, Bob/words")
    assert parties.curl("PUT", "inputs/Bob/words", WORDS)[0] == 409
    daemon.run("start", "shared")
    again = daemon.wait_for("shared", "vm.inputs-awaited.v1", count=2)
    why = daemon.run("log", "why", str(again["position"]))
    assert "it waits for Alice/algorithm, Bob/words" in why
    assert "start" in why
