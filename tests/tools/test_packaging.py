"""What operators copy: the unit, the container and what stands beside it, as far as it can be read.

Neither systemd nor a container engine runs here. What they would refuse at once is found all the
same, and so is every name in these files that the program does not know.
"""

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from supervisor.cli.program import COMMANDS
from supervisor.config import Config
from supervisor.config.places import SYSTEM_HOME
from supervisor.config.schema import Listen
from supervisor.config.settings import BY_VARIABLE, VARIABLES
from supervisor.state_directory import StateDirectory
from tests.source_tree import ROOT

PACKAGING = ROOT / "tools" / "packaging"
UNIT = PACKAGING / "chronovisor.service"
PROGRAM = "/usr/local/bin/chronovisor"
INSTRUCTIONS = {
    *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL"),
    *("ENTRYPOINT", "CMD"),
}


def read_unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser says
    parser.read_string(path.read_text())
    return parser


def read_yaml(name: str) -> Any:
    return yaml.safe_load((PACKAGING / name).read_text())


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, each on one line."""
    text = re.sub(r"^#.*\n", "", (PACKAGING / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line]


def test_the_unit_leaves_vms_alone_and_watches_the_daemon() -> None:
    service = read_unit(UNIT)["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "process")
    assert (service["WatchdogSec"], service["NotifyAccess"]) == ("30s", "main")
    program, command = service["ExecStart"].split()
    assert (program, command in COMMANDS) == (PROGRAM, True)
    assert Path("/var/lib", service["StateDirectory"]) == SYSTEM_HOME
    assert "MemoryDenyWriteExecute" not in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
@pytest.mark.parametrize("drop_ins", [False, True])
def test_systemd_understands_the_unit(tmp_path: Path, *, drop_ins: bool) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    if drop_ins:
        shutil.copytree(f"{UNIT}.d", f"{unit}.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Systemd before 254 says that it does not know DelegateSubgroup, as the drop-in warns.
    ours = [
        line
        for line in done.stderr.splitlines()
        if UNIT.name in line and "DelegateSubgroup" not in line
    ]
    assert (done.returncode, ours) == (0, [])


def test_the_container_is_made_of_what_is_there() -> None:
    found = instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS
    copied = [words.split()[:-1] for name, words in found if name == "COPY"]
    ours = [source for sources in copied if "--from=build" not in sources for source in sources]
    assert ours
    assert [source for source in ours if not (ROOT / source).exists()] == []


def test_the_container_runs_commands_and_settings_that_there_are() -> None:
    said = dict(instructions())
    assert json.loads(said["CMD"])[0] in COMMANDS
    health = json.loads(said["HEALTHCHECK"].partition("CMD")[2])
    assert (health[0], health[1] in COMMANDS) == ("chronovisor", True)
    assert set(re.findall(rf"{VARIABLES}\w+", said["ENV"])) <= BY_VARIABLE.keys()


def test_what_stands_beside_the_container_finds_it() -> None:
    services = read_yaml("compose.yaml")["services"]
    daemon, prometheus = services["chronovisor"], services["prometheus"]
    assert daemon["environment"].keys() <= BY_VARIABLE.keys()
    assert (PACKAGING / daemon["build"]["context"]).resolve() == ROOT
    assert (ROOT / daemon["build"]["dockerfile"]).is_file()
    mounted = [v.split(":")[0] for s in services.values() for v in s.get("volumes", ())]
    files = [name for name in mounted if name.startswith("./")]
    assert files
    assert [name for name in files if not (PACKAGING / name).is_file()] == []
    owner = re.search(r"useradd .*--uid (\d+)", "\n".join(words for _, words in instructions()))
    assert owner is not None
    assert prometheus["user"].split(":")[0] == owner[1]


def test_the_collector_listens_where_traces_are_sent() -> None:
    sent = read_yaml("compose.yaml")["services"]["chronovisor"]["environment"]
    collector = read_yaml("collector.yaml")
    endpoint = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert sent["CHRONOVISOR_TELEMETRY_TRACES"] == f"http://{endpoint}"
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= collector[kind].keys()


def test_prometheus_asks_where_the_daemon_serves_with_the_token_that_it_made() -> None:
    (job,) = read_yaml("prometheus.yaml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [str(Listen().http)]
    state = re.search(r"STATE_DIR=(\S+)", dict(instructions())["ENV"])
    assert state is not None
    config = Config(Path(state[1]), Path("/c"))
    token = StateDirectory(config.state_dir).token
    assert job["authorization"]["credentials_file"] == str(token)
