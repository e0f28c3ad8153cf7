"""`config show`, `config check`, and what `serve` refuses before it does anything."""

import json
import os
import re
import struct
import uuid
from pathlib import Path

import google_crc32c
import pytest
from click.testing import CliRunner, Result

from eventlog.segment import (
    FORMAT_VERSION,
    HEADER_SIZE,
    SegmentHeader,
    encode_header,
    first_chain,
    segment_name,
)
from supervisor.cli.program import cli
from supervisor.config.settings import SETTINGS
from tests.cli.conftest import PORTS, WIDE, Run
from tests.source_tree import ROOT

FILE = """\
lisen = 1

[capacity]
max_running = "many"
"""


def invoke(home: Path, *arguments: str, **environment: str) -> Result:
    """Run a command with nothing around it; a variable of ours in the real environment is gone."""
    gone = dict.fromkeys(name for name in os.environ if name.startswith("CHRONOVISOR_"))
    around = {**gone, "HOME": str(home), "COLUMNS": str(WIDE), "TERM": "dumb", **environment}
    return CliRunner().invoke(cli, arguments, env=around)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "chronovisor.toml"
    file.write_text("[capacity]\nmax_running = 32\nmax_vms = 9\n")
    return file


def test_every_value_is_shown_with_its_source(tmp_path: Path, file: Path) -> None:
    told = ("--config", str(file), "--max-vms", "5", "--state-dir", "/s")
    result = invoke(tmp_path, "config", "show", *told, CHRONOVISOR_LOG_LEVEL="debug")

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert result.exit_code == 0
    assert rows["capacity.max_running"] == ["32", f"{file}:2"]
    assert rows["capacity.max_vms"] == ["5", "--max-vms"]
    assert rows["log.level"] == ["debug", "CHRONOVISOR_LOG_LEVEL"]
    assert rows["state_dir"] == ["/s", "--state-dir"]
    assert rows["listen.grpc"] == ["127.0.0.1:7001", "default"]


def test_a_program_is_told_the_same(tmp_path: Path, file: Path) -> None:
    told = ("--config", str(file), "--set-aside", "a", "--set-aside", "b", "--json")
    result = invoke(tmp_path, "config", "show", *told, CHRONOVISOR_LOG_LEVL="debug")

    answer = json.loads(result.stdout)
    shown = {setting["key"]: setting for setting in answer["settings"]}
    assert list(shown) == [setting.key for setting in SETTINGS]
    source = {"origin": "file", "name": str(file), "line": 2}
    assert shown["capacity.max_running"]["value"] == "32"
    assert shown["capacity.max_running"]["source"] == source
    assert shown["set_aside"]["value"] == "a, b"
    warning = "CHRONOVISOR_LOG_LEVL has no effect; did you mean CHRONOVISOR_LOG_LEVEL?"
    assert answer["warnings"] == [warning]
    assert result.stderr == f"warning: {warning}\n"


def test_a_flag_without_a_value_says_what_it_stands_for(tmp_path: Path) -> None:
    flags = ("--stop-vms", "--allow-unrestricted-network", "--json")
    result = invoke(tmp_path, "config", "show", *flags)
    shown = {one["key"]: one["value"] for one in json.loads(result.stdout)["settings"]}
    assert (shown["stop_vms"], shown["capacity.networking"]) == ("true", "unrestricted")


def test_the_state_directory_may_stand_before_the_command(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--state-dir", "/s", "config", "show", CHRONOVISOR_STATE_DIR="/e")
    assert result.stdout.splitlines()[1].split() == ["state_dir", "/s", "--state-dir"]


def test_a_right_file_is_called_right(tmp_path: Path, file: Path) -> None:
    result = invoke(tmp_path, "config", "check", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{file}: right\n")


@pytest.mark.parametrize("command", ["check", "show", "serve"])
def test_every_command_tells_every_fault_of_a_file(
    tmp_path: Path, file: Path, command: str
) -> None:
    file.write_text(FILE)
    state = tmp_path / "state"
    arguments = {
        "check": ("config", "check", str(file)),
        "show": ("config", "show", "--config", str(file)),
        "serve": ("serve", "--config", str(file), "--state-dir", str(state)),
    }
    result = invoke(tmp_path, *arguments[command])

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f'Error: {file}:1: lisen: unknown field; did you mean "listen"?',
        f'{file}:4: capacity.max_running: got "many"; it takes a whole number from 1 on',
    ]
    assert not state.exists()


def test_a_script_is_told_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "chronovisor.toml"
    file.write_text(FILE)
    result = invoke(tmp_path, "config", "check", str(file), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["right"]) == (2, False)
    assert [(wrong["key"], wrong["source"]["line"]) for wrong in told["wrong"]] == [
        ("lisen", 1),
        ("capacity.max_running", 4),
    ]
    file.write_text("")
    result = invoke(tmp_path, "config", "check", str(file), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"right": True, "wrong": []})


def test_what_the_page_shows_is_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "configuration.md").read_text()
    (right,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "chronovisor.toml").write_text(right)
    (tmp_path / "wrong.toml").write_text(FILE)
    (console,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)

    for command, shown in re.findall(r"\$ chronovisor (.*)\n((?:[^$].*\n)+)", console):
        result = invoke(tmp_path, *command.split())
        said = [line.split() for line in result.output.splitlines()]
        assert [line for line in shown.splitlines() if line.split() not in said] == []


@pytest.mark.parametrize("option", ["--grpc", "--state-dir", "--max-vms"])
def test_an_empty_flag_is_not_passed_over(tmp_path: Path, option: str) -> None:
    result = invoke(tmp_path, "config", "show", option, "")
    assert result.exit_code == 2
    assert f'{option}: got ""; it takes ' in result.stderr


def test_the_manager_s_variables_are_taken_when_asked_for(tmp_path: Path) -> None:
    manager = {"MANAGER_GRPC_PORT": "7009", "MANAGER_QEMU_SMP_COUNT": "4"}
    result = invoke(tmp_path, "config", "show", "--compat", "cocos", **manager)
    assert "127.0.0.1:7009" in result.stdout
    assert result.stderr == (
        "warning: MANAGER_QEMU_SMP_COUNT has no effect: a manifest says vm.cpus\n"
    )


def test_the_state_directory_of_another_version_is_refused_with_the_one_that_is_known(
    run: Run, state_dir: Path, newer_log: Path
) -> None:
    before = newer_log.read_bytes()
    result = run("serve", *PORTS)

    assert result.exit_code == 7
    assert f"has format version {FORMAT_VERSION + 1} (known: {FORMAT_VERSION})" in result.stderr
    assert "Traceback" not in result.stderr
    assert newer_log.read_bytes() == before


@pytest.fixture
def newer_log(state_dir: Path) -> Path:
    """The first segment of a log in a format that is not known yet."""

    log_id = uuid.uuid4()
    sound = encode_header(SegmentHeader(log_id, "node", 1, 1, first_chain(log_id), 1 << 20, 1))
    body = sound[:8] + struct.pack("<H", FORMAT_VERSION + 1) + sound[10 : HEADER_SIZE - 4]
    (state_dir / "log").mkdir(mode=0o700)
    segment = state_dir / "log" / segment_name(1)
    segment.write_bytes(body + struct.pack("<I", google_crc32c.value(body)) + bytes(4096))
    return segment
