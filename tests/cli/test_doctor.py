"""`doctor`: each thing that is wrong is named with its fix, and nothing is left behind."""

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from eventlog import NewEvent, open_log
from supervisor.config import Config
from supervisor.doctor import Level, Patient, examine
from supervisor.doctor.disk import latency_of, room_of
from supervisor.doctor.ports import look_at_ports
from tests.cli.conftest import PORTS, Run
from tests.e2e.authority import DAY, Authority

Json = dict[str, Any]
Examined = Callable[..., list[Json]]


@pytest.fixture
def examined(run: Run, tmp_path: Path) -> Examined:
    """The findings of an examination, by default of a host without a catalogue."""

    def examined(*options: str, code: int = 0) -> list[Json]:
        where = ("--catalogue", str(tmp_path / "catalogue"))
        result = run("doctor", "--json", *PORTS, *where, *options)
        assert result.exit_code == code, result.output
        told = json.loads(result.stdout)
        findings: list[Json] = told["findings"]
        assert told["faults"] == sum(each["level"] == "fault" for each in findings)
        return findings

    return examined


def of(findings: list[Json], subject: str) -> list[Json]:
    return [each for each in findings if each["subject"] == subject]


def written_log(directory: Path) -> Path:
    async def write() -> None:
        async with open_log(directory) as log:
            await log.append([NewEvent("host", "host.test.v1", b"\x80", "id")] * 3)

    trio.run(write)
    (segment,) = directory.glob("*.log")
    return segment


def write_catalogue(directory: Path, content: bytes, *, size: int = 7) -> None:
    directory.mkdir()
    (directory / "kernel").write_bytes(content)
    digest = hashlib.sha256(b"vmlinuz").hexdigest()
    entry = {"file": "kernel", "sha256": digest, "size": size, "kind": "kernel"}
    catalogue = {"format": 1, "entries": {"reference": entry}}
    (directory / "catalogue.json").write_text(json.dumps(catalogue))


def test_a_sound_host_is_told_of_and_left_as_it_was(examined: Examined, state_dir: Path) -> None:
    findings = examined()
    subjects = [each["subject"] for each in findings]
    assert {"QEMU", "KVM", "state directory", "disk", "log", "clock", "ports"} <= set(subjects)
    assert [each for each in findings if (each["level"] == "ok") == bool(each["fix"])] == []
    assert list(state_dir.iterdir()) == []


def test_people_read_each_finding_with_its_fix_and_a_last_word(run: Run, tmp_path: Path) -> None:
    told = run("doctor", *PORTS, "--catalogue", str(tmp_path / "none"), columns=80).stdout
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    at = next(number for number, line in enumerate(lines) if line.startswith("warning  catalogue"))
    assert "  fix:   chronovisor guest build" in "\n".join(lines[at:])
    assert lines[-1].endswith(("warning.", "warnings."))


def test_a_port_that_is_taken_is_named_with_its_setting(examined: Examined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (finding,) = of(examined("--http", address, code=1), "ports")
    assert finding["level"] == "fault"
    assert f"cannot listen on {address}" in finding["says"]
    assert finding["fix"].startswith("listen.http: choose another port, or stop what has it")


def test_the_ports_of_a_daemon_that_serves_here_are_its_own(
    examined: Examined, state_dir: Path
) -> None:
    with (
        socket.socket(socket.AF_UNIX) as daemon,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        daemon.bind(str(state_dir / "grpc.sock"))
        daemon.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (finding,) = of(examined("--http", address), "ports")
    assert "a daemon serves" in finding["says"]


def test_a_state_directory_that_is_a_file_is_served_by_nobody(
    examined: Examined, state_dir: Path
) -> None:
    (state_dir / "file").write_text("")
    findings = examined("--state-dir", str(state_dir / "file"), code=1)
    assert "are free" in of(findings, "ports")[0]["says"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_who_may_not_look_is_told_to_be_the_daemons_user(tmp_path: Path, state_dir: Path) -> None:
    state_dir.chmod(0o700)
    os.seteuid(12345)
    try:
        patient = Patient(Config(state_dir=state_dir, catalogue=tmp_path))
        findings = [each for each in examine(patient) if each.level is Level.FAULT]
    finally:
        os.seteuid(0)
    assert {"log", "ports"} <= {each.subject for each in findings}
    told = {each.fix for each in findings if each.subject in ("log", "ports")}
    assert told == {"run this as the user that the daemon runs as"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_socket_of_somebody_else_is_not_taken_for_a_daemon(
    tmp_path: Path, state_dir: Path
) -> None:
    state_dir.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(state_dir / "grpc.sock"))
        (state_dir / "grpc.sock").chmod(0o600)
        os.seteuid(12345)
        try:
            with pytest.raises(PermissionError, match=r"grpc\.sock"):
                list(look_at_ports(Config(state_dir=state_dir, catalogue=tmp_path)))
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("content", "mode", "why", "fix"),
    [
        (b"{", 0o600, "is no file of tokens", "chronovisor token create"),
        (b"{}", 0o644, "others may use", "chmod 600"),
    ],
)
def test_tokens_that_the_daemon_would_refuse_are_a_fault(
    examined: Examined, state_dir: Path, content: bytes, mode: int, why: str, fix: str
) -> None:
    (state_dir / "tokens").write_bytes(content)
    (state_dir / "tokens").chmod(mode)
    (finding,) = of(examined(code=1), "tokens")
    assert (finding["level"], why in finding["says"]) == ("fault", True)
    assert fix in finding["fix"]


def test_those_who_have_tokens_are_counted(run: Run, examined: Examined) -> None:
    assert of(examined(), "tokens") == []
    assert run("token", "create", "anna", "--role", "viewer").exit_code == 0
    (finding,) = of(examined(), "tokens")
    assert "lets 1 principal in" in finding["says"]


def test_ports_of_guests_that_the_system_hands_out_are_warned_of(examined: Examined) -> None:
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    findings = of(examined("--forward-ports", f"{low}-{high}"), "ports")
    assert [each["level"] for each in findings] == ["ok", "warning"]


@pytest.mark.parametrize(
    ("content", "size", "why"),
    [
        (b"vmlinux", 7, "another digest"),
        (b"vmlinu", 7, "has 6 bytes in place of 7"),
    ],
)
def test_an_image_that_is_not_what_it_should_be_is_a_fault(
    examined: Examined, tmp_path: Path, content: bytes, size: int, why: str
) -> None:
    write_catalogue(tmp_path / "catalogue", content, size=size)
    (finding,) = of(examined(code=1), "catalogue")
    assert finding["level"] == "fault"
    assert why in finding["says"]
    assert "guest build" in finding["fix"]


def test_an_image_that_is_gone_is_a_fault(examined: Examined, tmp_path: Path) -> None:
    write_catalogue(tmp_path / "catalogue", b"vmlinuz")
    (finding,) = of(examined(), "catalogue")
    assert "1 image " in finding["says"]
    (tmp_path / "catalogue" / "kernel").unlink()
    (finding,) = of(examined(code=1), "catalogue")
    assert "no such file" in finding["says"]


def test_a_log_is_read_and_a_damage_is_a_fault(examined: Examined, state_dir: Path) -> None:
    segment = written_log(state_dir / "log")
    (finding,) = of(examined(), "log")
    assert finding["says"].startswith("3 events")

    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    (finding,) = of(examined(code=1), "log")
    assert finding["level"] == "fault"
    assert "log verify" in finding["fix"]


def test_a_log_that_is_gone_is_a_fault(examined: Examined, state_dir: Path) -> None:
    (state_dir / "log.key").write_text("key\n")
    (state_dir / "log.key").chmod(0o600)
    findings = of(examined(code=1), "state directory")
    assert "is gone" in findings[-1]["says"]
    assert "restore the log" in findings[-1]["fix"]


def test_a_clock_behind_the_log_is_warned_of(examined: Examined, state_dir: Path) -> None:
    segment = written_log(state_dir / "log")
    ahead = segment.stat().st_mtime + 86_400
    os.utime(segment, (ahead, ahead))
    (finding,) = of(examined(), "clock")
    assert "before the log was written last" in finding["says"]


def test_a_state_directory_that_others_enter_is_warned_of(
    examined: Examined, state_dir: Path
) -> None:
    state_dir.chmod(0o755)
    (finding,) = of(examined(), "state directory")
    assert (finding["level"], finding["fix"]) == ("warning", f"chmod 700 {state_dir}")
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a directory away")
def test_a_state_directory_of_somebody_else_is_a_fault(examined: Examined, state_dir: Path) -> None:
    os.chown(state_dir, 12345, -1)
    (finding,) = of(examined(code=1), "state directory")
    assert "belongs to uid 12345" in finding["says"]
    os.chown(state_dir, 0, -1)


def test_a_state_directory_that_is_a_file_is_a_fault(
    examined: Examined, tmp_path: Path, state_dir: Path
) -> None:
    (state_dir / "file").write_text("")
    findings = examined("--state-dir", str(state_dir / "file"), code=1)
    assert "is not a directory" in of(findings, "state directory")[0]["says"]
    assert [finding for finding in of(findings, "disk") if finding["level"] == "fault"] == []


@pytest.mark.parametrize(
    ("script", "level", "why"),
    [
        (None, "fault", "there is no qemu-system-x86_64 in the PATH"),
        ("echo QEMU emulator version 5.2.0", "warning", "older than 7.2 was never tried"),
        ("exit 1", "fault", "does not tell its version"),
    ],
)
def test_a_qemu_that_is_absent_old_or_broken(
    examined: Examined,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    level: str,
    why: str,
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if script is not None:
        (programs / "qemu-system-x86_64").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "qemu-system-x86_64").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    finding = of(examined(code=1), "QEMU")[0]
    assert (finding["level"], why in finding["says"]) == (level, True)
    assert "apt-get install qemu-system-x86" in finding["fix"]


@pytest.mark.parametrize(
    ("free", "files", "level"),
    [
        (32 << 20, 1 << 20, Level.FAULT),
        (1 << 30, 1 << 20, Level.WARNING),
        (1 << 40, 9, Level.WARNING),
        (1 << 40, 1 << 20, Level.OK),
    ],
)
def test_a_disk_that_is_nearly_full_is_told_of(free: int, files: int, level: Level) -> None:
    blocks = free // 4096
    found = os.statvfs_result((4096, 4096, 1 << 30, blocks, blocks, 1 << 24, files, files, 0, 255))
    finding = room_of(Path("/s"), found)
    assert (finding.level, bool(finding.fix)) == (level, level is not Level.OK)


def test_a_file_system_that_counts_no_files_is_not_out_of_them() -> None:
    found = os.statvfs_result((4096, 4096, 1 << 30, 1 << 28, 1 << 28, 0, 0, 0, 0, 255))
    assert room_of(Path("/s"), found).level is Level.OK


def test_a_slow_disk_is_told_of_and_one_slow_write_is_not() -> None:
    assert latency_of([60.0] * 16).level is Level.WARNING
    assert latency_of([*([2.0] * 15), 900.0]).level is Level.OK


@pytest.mark.parametrize(
    ("days", "level", "why"),
    [(-0.5, "fault", "expired"), (3, "warning", "is valid until"), (90, "ok", "is valid until")],
)
def test_a_certificate_is_looked_at_as_clients_would(
    examined: Examined, tmp_path: Path, days: float, level: str, why: str
) -> None:
    pair = Authority(tmp_path / "ca", "ours").issue("server", until=days * DAY)
    (finding,) = of(examined(*pair.options, code=int(level == "fault")), "TLS")
    assert (finding["level"], why in finding["says"]) == (level, True)


def test_a_key_of_another_certificate_is_a_fault(examined: Examined, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "ours")
    one, other = authority.issue("one"), authority.issue("other")
    mixed = ("--tls-certificate", str(one.certificate), "--tls-key", str(other.key))
    (finding,) = of(examined(*mixed, code=1), "TLS")
    assert "is not the key of the certificate" in finding["says"]


def test_a_setting_that_has_no_effect_is_warned_of(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHRONOVISOR_CATALOG", "/x")
    (finding,) = of(examined(), "configuration")
    assert finding["level"] == "warning"
    assert "CHRONOVISOR_CATALOGUE" in finding["says"]
