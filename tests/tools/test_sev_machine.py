"""The simulated machine, driven over its sockets as the daemon drives QEMU."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chronovisor_sev.chip import Chip, load_chip
from chronovisor_sev.installing import install
from chronovisor_sev.tampering import Tamper, choose_tamper

from supervisor.host.facts import BOOT_ID
from supervisor.host.process import Process
from supervisor.host.spawn import spawn
from supervisor.sev.digest import sev_digest, sev_es_digest
from supervisor.sev.errors import Mismatch
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.hash_table import direct_boot
from supervisor.sev.measurement import Demands, Evidence, parse_measurement, verify_launch
from supervisor.sev.policy import PolicyFlag
from supervisor.sev.secret import Secret, seal, secret_table
from supervisor.sev.session import Session, TransportKeys, new_session
from supervisor.sev.vmsa import Cpus, VmsaVariant
from supervisor.vm.layout import QMP_SOCKET, STDERR_LOG, InheritedFd
from tests.sev import images
from tests.sev.test_launch import LUKS

POLICY = int(PolicyFlag.NODBG | PolicyFlag.NOKS)
SEV_ES = POLICY | int(PolicyFlag.ES)
COMMAND_LINE = "console=ttyS0 quiet"
KERNEL = bytes(0x202) + b"HdrS" + bytes((2, 2)) + bytes(8192)
"""What QEMU takes for a kernel, and no CPU runs for long."""
INITRD = b"an initrd"
LINES_S = 90
"""Two programs are started before the first one comes."""
Message = dict[str, Any]


class Qmp:
    """A client that waits for each answer, and keeps the events."""

    def __init__(self, file: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LINES_S)
        self._socket.connect(str(file))
        self._lines = self._socket.makefile("rb")
        self.events: list[str] = []
        assert "QMP" in json.loads(self._lines.readline())
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Message:
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": named, "id": command}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            message: Message = json.loads(line)
            if message.get("id") == command:
                return message
            self.events.append(message["event"])
        raise ConnectionError(f"it ended before it answered {command}")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Machines:
    """Starts simulated machines in one directory."""

    def __init__(self, directory: Path) -> None:
        self.platform = directory / "platform"
        self.directory = directory / "launch"
        self.directory.mkdir()
        self.program = install(directory, self.platform)
        self.contents = {InheritedFd.FIRMWARE: images.firmware(), InheritedFd.KERNEL: KERNEL}
        self.contents[InheritedFd.INITRD] = INITRD
        self._clients: list[Qmp] = []
        self._processes: list[Process] = []

    @property
    def chip(self) -> Chip:
        return load_chip(self.platform)

    def session(self, policy: int = POLICY) -> Session:
        return new_session(self.chip.pdh_key.public_key(), policy)

    def start(self, session: Session, policy: int = POLICY) -> Process:
        contents = dict(self.contents)
        contents[InheritedFd.SESSION] = base64.b64encode(session.blob)
        contents[InheritedFd.GODH_CERT] = base64.b64encode(session.certificate)
        files = {number: _memory(content) for number, content in contents.items()}
        argv = (str(self.program), *_argv(policy))
        try:
            process = spawn(self.directory, argv, BOOT_ID.read_text().strip(), files)
        finally:
            for descriptor in files.values():
                os.close(descriptor)
        self._processes.append(process)
        return process

    def launch(self, session: Session, policy: int = POLICY) -> Qmp:
        self.start(session, policy)
        return self.connect()

    def connect(self) -> Qmp:
        client = Qmp(self.directory / QMP_SOCKET)
        self._clients.append(client)
        return client

    def end(self) -> None:
        for client in self._clients:
            client.close()
        for process in self._processes:
            try:
                os.kill(process.identity.pid, signal.SIGKILL)
                os.waitpid(process.identity.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            process.close()


def _argv(policy: int) -> tuple[str, ...]:
    guest = {"qom-type": "sev-guest", "id": "sev0", "cbitpos": 51, "reduced-phys-bits": 1}
    guest |= {"policy": policy, "kernel-hashes": True}
    guest |= {"dh-cert-file": "/proc/self/fd/16", "session-file": "/proc/self/fd/17"}
    return (
        *("-uuid", "b1c7f0a6-0a52-5d0a-9c53-6e1c9a1f6f0e", "-nodefaults", "-display", "none"),
        *("-S", "-no-reboot", "-machine", "q35,accel=tcg,confidential-guest-support=sev0"),
        *("-cpu", "EPYC-Milan", "-smp", "2", "-m", "64M", "-object", json.dumps(guest)),
        *("-chardev", f"socket,id=qmp,fd={InheritedFd.QMP},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control", "-bios", "/proc/self/fd/14"),
        *("-kernel", "/proc/self/fd/12", "-initrd", "/proc/self/fd/13", "-append", COMMAND_LINE),
    )


def _memory(content: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    return descriptor


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    yield machines
    machines.end()


def expected(policy: int, command_line: str = COMMAND_LINE) -> bytes:
    boot = direct_boot(KERNEL, INITRD, command_line)
    if policy & PolicyFlag.ES:
        return sev_es_digest(images.firmware(), boot, Cpus(2, "EPYC-Milan"), VmsaVariant.LEGACY)
    return sev_digest(images.firmware(), boot)


def verify(qmp: Qmp, keys: TransportKeys, policy: int = POLICY) -> Evidence:
    told = qmp.ask("query-sev")["return"]
    blob = base64.b64decode(qmp.ask("query-sev-launch-measure")["return"]["data"])
    version = FirmwareVersion(told["api-major"], told["api-minor"], told["build-id"])
    evidence = Evidence(parse_measurement(blob), version, told["policy"])
    demands = Demands(policy, PolicyFlag.NODBG, FirmwareVersion(1, 0, 0), (expected(policy),))
    verify_launch(evidence, demands, keys.tik)
    return evidence


def inject(qmp: Qmp, keys: TransportKeys, evidence: Evidence) -> Message:
    packet = seal(secret_table([Secret(LUKS, b"swordfish")]), keys, evidence.measurement)
    header, secret = (
        base64.b64encode(part).decode() for part in (packet.header, packet.ciphertext)
    )
    return qmp.ask("sev-inject-launch-secret", packet_header=header, secret=secret)


@pytest.mark.parametrize("policy", [POLICY, SEV_ES], ids=["sev", "sev-es"])
def test_an_owner_accepts_its_measurement(policy: int, machines: Machines) -> None:
    session = machines.session(policy)
    qmp = machines.launch(session, policy)

    verify(qmp, session.keys, policy)

    assert qmp.ask("query-status")["return"]["status"] == "prelaunch"
    assert qmp.ask("query-sev")["return"]["state"] == "launch-secret"


def test_it_takes_a_secret_as_often_as_it_comes_until_the_guest_runs(machines: Machines) -> None:
    session = machines.session()
    qmp = machines.launch(session)
    evidence = verify(qmp, session.keys)

    assert inject(qmp, session.keys, evidence)["return"] == {}
    assert inject(qmp, session.keys, evidence)["return"] == {}
    assert qmp.ask("cont")["return"] == {}

    late = inject(qmp, session.keys, evidence)
    assert late["error"]["desc"] == "SEV: Not in correct state. (LSECRET) 3"
    assert qmp.ask("query-status")["return"]["status"] == "running"
    assert qmp.events == ["RESUME"]


def test_it_refuses_a_secret_for_another_launch(machines: Machines) -> None:
    session = machines.session()
    qmp = machines.launch(session)
    evidence = verify(qmp, session.keys)
    other = machines.session().keys

    refused = inject(qmp, other, evidence)

    assert "fw_error=11 'Bad measurement'" in refused["error"]["desc"]


def test_it_does_not_start_with_another_policy_than_the_sessions(machines: Machines) -> None:
    process = machines.start(machines.session(POLICY), SEV_ES)

    _, status = os.waitpid(process.identity.pid, 0)

    assert os.waitstatus_to_exitcode(status) == 1
    said = (machines.directory / STDERR_LOG).read_text()
    assert "LAUNCH_START ret=1 fw_error=11 'Bad measurement'" in said


def test_it_does_not_start_without_a_place_for_hashes(machines: Machines) -> None:
    machines.contents[InheritedFd.FIRMWARE] = images.firmware({})
    process = machines.start(machines.session())

    _, status = os.waitpid(process.identity.pid, 0)

    assert os.waitstatus_to_exitcode(status) == 1
    assert "hashes table area is invalid" in (machines.directory / STDERR_LOG).read_text()


@pytest.mark.parametrize("tamper", [Tamper.WRONG_MEASUREMENT, Tamper.OTHER_COMMAND_LINE])
def test_an_owner_refuses_what_it_measures(tamper: Tamper, machines: Machines) -> None:
    choose_tamper(machines.platform, tamper)
    session = machines.session()
    qmp = machines.launch(session)

    with pytest.raises(Mismatch):
        verify(qmp, session.keys)


def test_a_measurement_of_an_earlier_launch_convinces_its_owner_and_opens_nothing(
    machines: Machines,
) -> None:
    choose_tamper(machines.platform, Tamper.REPLAYED_NONCE)
    session = machines.session()
    qmp = machines.launch(session)

    refused = inject(qmp, session.keys, verify(qmp, session.keys))

    assert "fw_error=11 'Bad measurement'" in refused["error"]["desc"]


def test_the_next_client_hears_nothing_that_the_last_one_asked(machines: Machines) -> None:
    session = machines.session()
    first = machines.launch(session)
    assert first.ask("cont")["return"] == {}
    first.close()

    second = machines.connect()

    assert second.ask("query-status")["return"]["running"] is True


def test_the_real_machine_ends_with_the_one_in_its_place(machines: Machines) -> None:
    process = machines.start(machines.session())
    assert machines.connect().ask("cont")["return"] == {}
    children = Path(f"/proc/{process.identity.pid}/task/{process.identity.pid}/children")
    real = os.pidfd_open(int(children.read_text().split()[0]))

    os.kill(process.identity.pid, signal.SIGKILL)

    assert _ended(real)
    os.close(real)


def _ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], LINES_S)[0])


def test_it_tells_what_the_platform_is(machines: Machines) -> None:
    requests = b'{"execute": "qmp_capabilities"}\n{"execute": "query-sev-capabilities"}\n'
    words = ("-machine", "none,accel=kvm", "-S", "-nodefaults", "-display", "none")
    done = subprocess.run(
        [machines.program, *words, "-qmp", "stdio"],
        input=requests + b'{"execute": "quit"}\n',
        capture_output=True,
        timeout=LINES_S,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[2]["return"] == machines.chip.facts()
