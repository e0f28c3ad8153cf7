"""A host reduced to what the agent protocol asks of it: boots the guest, speaks line by line.

It reads docs/agent-protocol.md literally and shares no code with the daemon, so that the two
agree because both follow the document.
"""

import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

LAUNCH = 7
SECTOR = 512
MAX_LINE = 4096
# Software emulation on a machine that is busy with other tests; this only ends what hangs.
GUEST_SECONDS = 240

Message = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What goes onto the inputs disk, and how large the results disk is."""

    algorithm: bytes
    arguments: Sequence[bytes] = ()
    datasets: Mapping[str, bytes] = field(default_factory=dict)
    python: bool = False
    machine: str = "q35"
    result_bytes: int = 1 << 20
    secret_table: bytes = b""  # SIMULATED: on a disk of its own, where a processor would keep it
    inputs: bytes | None = None  # instead of all of the above: a disk as it is

    def disk(self) -> bytes:
        """The inputs disk."""
        if self.inputs is not None:
            return self.inputs
        members = {"job/launch": str(LAUNCH).encode(), "job/vm_id": b"vm-1"}
        members |= {f"job/arguments/{n:04}": text for n, text in enumerate(self.arguments)}
        members |= {"algorithm": self.algorithm}
        members |= {f"datasets/{name}": data for name, data in self.datasets.items()}
        return _tar(members)


def _tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


class Link:
    """A Unix socket of QEMU that may be connected again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: trio.SocketStream | None = None
        self._buffer = b""

    async def connect(self) -> None:
        self._buffer = b""
        self._stream = await trio.open_unix_socket(str(self._path))

    async def disconnect(self) -> None:
        if self._stream:
            await self._stream.aclose()

    async def send_bytes(self, data: bytes) -> None:
        assert self._stream is not None
        await self._stream.send_all(data)

    async def send(self, message: Message) -> None:
        await self.send_bytes(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def receive_line(self) -> bytes:
        assert self._stream is not None
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                raise EOFError("the other side closed")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        assert len(line) < MAX_LINE
        return line

    async def receive(self) -> Message:
        message: Message = json.loads((await self.receive_line()).decode("utf-8", "strict"))
        return message


@dataclass
class Header:
    """The first sector of the results disk."""

    launch: int
    length: int
    exit_code: int
    error: str


class Guest:
    """A running guest and the host's side of its conversation."""

    def __init__(self, directory: Path, process: trio.Process) -> None:
        self.directory = directory
        self.process = process
        self.agent = Link(directory / "agent")
        self.qmp = Link(directory / "qmp")
        self.console = Link(directory / "console")
        # Whoever connects to the console has to read it: unread, it slows the guest down.
        self.links = (self.agent, self.qmp)
        self.messages: list[Message] = []

    async def receive(self, kind: str) -> Message:
        """The next message of this type; others are passed over, into `self.messages`."""
        while True:
            message = await self.agent.receive()
            assert message["v"] == 1
            self.messages.append(message)
            if message["type"] == kind:
                return message

    def logged(self, stream: str) -> list[str]:
        """The lines of one stream so far."""
        return [m["line"] for m in self.messages if m["type"] == "log" and m["stream"] == stream]

    async def order(self, kind: str, **fields: object) -> None:
        """A message to the guest."""
        await self.agent.send({"v": 1, "type": kind, "launch": LAUNCH, **fields})

    async def acknowledge(self, message: Message) -> None:
        await self.agent.send(
            {"v": 1, "type": "ack", "launch": message["launch"], "seq": message["seq"]}
        )

    async def start(self) -> None:
        """Wait until it is ready, and start it."""
        await self.receive("ready")
        await self.order("start")
        await self.acknowledge(await self.receive("started"))

    async def finish(self) -> Message:
        """Wait for the end, acknowledge it, and see the guest power off."""
        finished = await self.receive("finished")
        await self.acknowledge(finished)
        await self.event("SHUTDOWN")
        return finished

    async def event(self, name: str) -> Message:
        """The next QMP event of this name."""
        while True:
            message = await self.qmp.receive()
            if message.get("event") == name:
                return message

    def header(self) -> Header:
        """As the document says, field by field."""
        sector = (self.directory / "results").read_bytes()[:SECTOR]
        assert sector[:19] == b"CHRONOVISOR-RESULT\n"
        assert sector[19:24] == b"0001\n"
        assert sector[103:] == bytes(SECTOR - 103)
        return Header(
            launch=int(sector[24:44]),
            length=int(sector[45:65]),
            exit_code=int(sector[66:69]),
            error=sector[70:102].decode("ascii").rstrip(" "),
        )

    def result(self) -> dict[str, bytes]:
        """The files of the result tar by name."""
        data = (self.directory / "results").read_bytes()[SECTOR:][: self.header().length]
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files = (member for member in archive if member.isfile())
            return {member.name: _content(archive, member) for member in files}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


@asynccontextmanager
async def booted(guest_dir: Path, job: Job) -> AsyncIterator[Guest]:
    """A guest with this job, connected; killed at the end."""
    with tempfile.TemporaryDirectory(prefix="guest-") as name, trio.fail_after(GUEST_SECONDS):
        directory = Path(name)
        (directory / "inputs").write_bytes(_sectors(job.disk()))
        with (directory / "results").open("wb") as file:
            file.truncate(SECTOR + job.result_bytes)
        if job.secret_table:
            (directory / "secret").write_bytes(_sectors(job.secret_table))
        _concatenate(guest_dir, directory / "initrd", python=job.python)
        process = await _spawn(guest_dir, directory, job.machine)
        guest = Guest(directory, process)
        try:
            for link in guest.links:
                await link.connect()
            await guest.qmp.send({"execute": "qmp_capabilities"})
            yield guest
        finally:
            os.kill(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()
                for link in (*guest.links, guest.console):
                    await link.disconnect()


async def _spawn(guest_dir: Path, directory: Path, machine: str) -> trio.Process:
    with ExitStack() as stack:
        names = ("agent", "console", "qmp")
        sockets = {name: stack.enter_context(_listen(directory / name)) for name in names}
        descriptors = {name: listener.fileno() for name, listener in sockets.items()}
        stderr = stack.enter_context((directory / "stderr").open("wb"))
        return await trio.lowlevel.open_process(
            _argv(guest_dir, directory, machine, descriptors),
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=tuple(descriptors.values()),
        )


def _argv(guest_dir: Path, directory: Path, machine: str, sockets: dict[str, int]) -> list[str]:
    chardevs = [
        word
        for name, descriptor in sockets.items()
        for word in ("-chardev", f"socket,id={name},fd={descriptor},server=on,wait=off")
    ]
    secret = (
        ("-drive", f"if=none,id=secret,format=raw,readonly=on,file={directory}/secret",
         "-device", "virtio-blk-pci,drive=secret,serial=simulated-secret")
        if (directory / "secret").exists() else ()
    )  # fmt: skip
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", machine, "-accel", "tcg", "-m", "256", "-smp", "1",
        "-kernel", f"{guest_dir}/vmlinuz", "-initrd", f"{directory}/initrd",
        "-append", "console=ttyS0 quiet",
        "-no-shutdown", "-no-reboot", "-action", "panic=pause", "-device", "pvpanic",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        *chardevs, "-serial", "chardev:console", "-mon", "qmp,mode=control",
        "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=agent,name=org.chronovisor.agent.0",
        "-drive", f"if=none,id=inputs,format=raw,readonly=on,file={directory}/inputs",
        "-device", "virtio-blk-pci,drive=inputs,serial=inputs",
        "-drive", f"if=none,id=results,format=raw,file={directory}/results",
        "-device", "virtio-blk-pci,drive=results,serial=results", *secret,
    ]  # fmt: skip


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _concatenate(guest_dir: Path, initrd: Path, *, python: bool) -> None:
    names = ["base.cpio", "python.cpio"] if python else ["base.cpio"]
    with initrd.open("wb") as file:
        for name in names:
            file.write((guest_dir / name).read_bytes())


def _sectors(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)
