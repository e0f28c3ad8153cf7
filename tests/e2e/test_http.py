"""HTTP against a real daemon and a real QEMU: the guide's own commands, and a restart."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.daemon_process import COMMAND_S, Daemon, Json

pytestmark = pytest.mark.guest

API_GUIDE = Path(__file__).parents[2] / "docs" / "api.md"


def url_of(daemon: Daemon) -> str:
    address = daemon.ready["http"]
    return f"http://{address['host']}:{address['port']}"


def shell(daemon: Daemon, directory: Path, script: str) -> str:
    environment = {**daemon.environment, "CHRONOVISOR_HTTP": url_of(daemon)}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=COMMAND_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def followed(daemon: Daemon, last_event_id: str, until: str) -> list[tuple[str, Json]]:
    """Follow the events with curl until one of this type came; return them with their ids."""
    token = (daemon.state_dir / "token").read_text().strip()
    headers = ["-H", f"Authorization: Bearer {token}"]
    headers += ["-H", f"Last-Event-ID: {last_event_id}"] if last_event_id else []
    command = ["curl", "-sSN", "--max-time", str(COMMAND_S), *headers]
    seen: list[tuple[str, Json]] = []
    with subprocess.Popen(
        [*command, f"{url_of(daemon)}/v1/events"], stdout=subprocess.PIPE, text=True
    ) as curl:
        assert curl.stdout is not None
        event_id = ""
        for line in curl.stdout:
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                event_id = value
            elif name == "data":
                seen.append((event_id, json.loads(value)))
                if seen[-1][1]["type"] == f"org.chronovisor.{until}":
                    break
        curl.kill()
    return seen


def commands_of(chapter: str) -> str:
    (section,) = re.findall(rf"\n## {chapter}\n(.*?)\n## ", API_GUIDE.read_text(), re.DOTALL)
    (script,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert isinstance(script, str)
    return script


def test_the_commands_of_the_api_guide_run_as_they_stand(daemon: Daemon, tmp_path: Path) -> None:
    said = shell(daemon, tmp_path, commands_of("HTTP"))
    assert "org.chronovisor.vm.stopped.v1" in said
    assert said.endswith("42\n")
    metrics = f'curl -sS -H "Authorization: Bearer $(cat {daemon.state_dir}/token)"'
    told = shell(daemon, tmp_path, f"{metrics} {url_of(daemon)}/metrics")
    assert 'chronovisor_vms{phase="stopped"} 1.0' in told
    assert "chronovisor_launch_seconds_count 1.0" in told
    assert "chronovisor_log_append_seconds_count" in told


def test_the_commands_that_follow_events_run_as_they_stand(daemon: Daemon, tmp_path: Path) -> None:
    said = shell(daemon, tmp_path, commands_of("Server-Sent Events"))
    sent = [json.loads(line.removeprefix("data: ")) for line in said.splitlines() if "data" in line]
    assert [event["type"] for event in sent].count("org.chronovisor.caught-up.v1") == 2
    assert sent[0]["sequence"] == f"{1:020d}"


def test_events_go_on_over_a_restart_of_the_daemon(daemon: Daemon) -> None:
    seen = followed(daemon, "", "caught-up.v1")
    last = seen[-1][0]
    assert daemon.end(signal.SIGTERM) == 0
    daemon.start()
    seen = [*seen[:-1], *followed(daemon, last, "caught-up.v1")[:-1]]
    assert [int(event["sequence"]) for _, event in seen] == list(range(1, len(seen) + 1))
    assert [event["type"] for _, event in seen].count("org.chronovisor.host.daemon-started.v1") == 2


def test_a_daemon_says_when_it_is_ready(daemon: Daemon, tmp_path: Path) -> None:
    probe = f"curl -sS --retry 20 --retry-all-errors --retry-delay 1 -f {url_of(daemon)}/readyz"
    assert json.loads(shell(daemon, tmp_path, probe)) == {"status": "serving"}
