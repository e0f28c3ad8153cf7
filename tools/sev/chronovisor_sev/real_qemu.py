"""The real QEMU behind the simulated one: it runs the guest, by software and without protection.

It gets the same machine without SEV, and ends with the process that stands in its place. The secret
that a guest's firmware would find in its memory lies on a disk with the serial SECRET_SERIAL.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from chronovisor_transcript.machine import Message

from chronovisor_sev.sev_options import GUEST_KINDS

SECRET_SERIAL = "simulated-secret"
SECTOR_BYTES = 512
LENT = range(4, 16)
"""Descriptors of QEMU's that the real one gets (supervisor.vm.layout.InheritedFd), if open, but
for the two by which a launch is known to live."""
KEPT = (7, 8)
GREETING_S = 60.0
RECEIVE_BYTES = 65536
PR_SET_PDEATHSIG = 1
NOT_ITS_OWN = ("-uuid", "-bios")
"""With the UUID there would be two processes of one launch; its firmware is QEMU's own."""
OF_SEV = ("confidential-guest-support=", "memory-encryption=", "accel=", "pflash")


def real_argv(argv: Sequence[str], qmp: int, secret: int | None) -> list[str]:
    """Return the arguments of a machine that is the same, but for what SEV needs."""
    found: list[str] = []
    words = iter(argv)
    for word in words:
        if word in NOT_ITS_OWN:
            next(words)
        elif word in REWRITTEN:
            value = REWRITTEN[word](next(words), qmp)
            found += (word, value) if value else ()
        else:
            found.append(word)
    return [*found, *(_disk(secret) if secret is not None else ())]


def _machine(value: str, qmp: int) -> str:
    kept = [part for part in value.split(",") if not part.startswith(OF_SEV)]
    return ",".join((*kept, "accel=tcg"))


def _chardev(value: str, qmp: int) -> str:
    return f"socket,id=qmp,fd={qmp}" if "id=qmp," in value else value


def _object(value: str, qmp: int) -> str:
    return "" if any(kind in value for kind in GUEST_KINDS) else value


REWRITTEN: dict[str, Callable[[str, int], str]] = {
    "-machine": _machine,
    "-cpu": lambda value, qmp: "max",
    "-chardev": _chardev,
    "-object": _object,
    "-add-fd": lambda value, qmp: value.partition(",opaque=")[0],
}


def _disk(descriptor: int) -> tuple[str, ...]:
    file = {"driver": "file", "filename": f"/dev/fdset/{descriptor}"}
    node = {"node-name": SECRET_SERIAL, "driver": "raw", "read-only": True, "file": file}
    device = {"driver": "virtio-blk-pci", "drive": SECRET_SERIAL, "serial": SECRET_SERIAL}
    return (
        *("-add-fd", f"fd={descriptor},set={descriptor}"),
        *("-blockdev", json.dumps(node)),
        *("-device", json.dumps({**device, "romfile": ""})),
    )


class RealQemu:
    """A running QEMU and its monitor; answers come back under the number of who asked."""

    def __init__(self, program: str, argv: Sequence[str], secret: bytes) -> None:
        self._monitor, theirs = socket.socketpair()
        disk = _secret_file(secret) if secret else None
        lent = [*filter(_is_open, LENT), theirs.fileno(), *([] if disk is None else [disk])]
        libc = ctypes.CDLL(None)
        self._process = subprocess.Popen(
            [program, *real_argv(argv, theirs.fileno(), disk)],
            pass_fds=[number for number in lent if number not in KEPT],
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        theirs.close()
        self._rest = b""
        self._asked: dict[int, tuple[int, Message]] = {}
        self._count = 0
        self._negotiate()

    def fileno(self) -> int:
        """Return what becomes readable when it says something, or ends."""
        return self._monitor.fileno()

    def ask(self, request: Message, client: int) -> None:
        """Pass on what a client asked."""
        self._count += 1
        self._asked[self._count] = (client, request)
        self._send({**request, "id": self._count})

    def hear(self, client: int) -> list[Message] | None:
        """Return what it says to this client, or None when it has ended."""
        try:
            data = self._monitor.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        heard = [self._addressed(json.loads(line), client) for line in lines if line.strip()]
        return [message for message in heard if message]

    def terminate(self) -> None:
        """Pass on SIGTERM."""
        self._process.terminate()

    def wait(self) -> int:
        """Return the exit status, or the negative number of a signal, once it has ended."""
        return self._process.wait()

    def _addressed(self, message: Message, client: int) -> Message | None:
        if "event" in message:
            return message
        asker, request = self._asked.pop(message.pop("id", 0), (-1, {}))
        if asker != client:
            return None
        return {**message, "id": request["id"]} if "id" in request else message

    def _negotiate(self) -> None:
        self._monitor.settimeout(GREETING_S)
        self._send({"execute": "qmp_capabilities"})
        answered = False
        while not answered:
            data = self._monitor.recv(RECEIVE_BYTES)
            if not data:
                return  # it says why on stderr, and hear() tells its end
            *lines, self._rest = (self._rest + data).split(b"\n")
            answered = any("return" in json.loads(line) for line in lines if line.strip())
        self._monitor.settimeout(None)

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionError):  # hear() tells its end
            self._monitor.sendall(json.dumps(message).encode() + b"\n")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _secret_file(secret: bytes) -> int:
    """Return a descriptor of a file in memory that can only be read, in whole sectors."""
    writing = os.memfd_create(SECRET_SERIAL, os.MFD_CLOEXEC)
    os.write(writing, secret.ljust(-(-len(secret) // SECTOR_BYTES) * SECTOR_BYTES, b"\0"))
    reading = os.open(f"/proc/self/fd/{writing}", os.O_RDONLY)
    os.close(writing)
    return reading
