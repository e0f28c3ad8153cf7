"""What the host's secure processor is, asked of a QEMU that runs no machine and is gone again.

Nothing of it is kept: firmware is updated, and modules are loaded, while a daemon lives.
"""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
import trio

from supervisor.host.qemu_user import QemuUser
from supervisor.host.text import printable
from supervisor.qmp.client import QmpClient
from supervisor.qmp.errors import QmpCommandRefused, QmpError
from supervisor.vm.confidential import SevPlatform
from supervisor.vm.start_failures import cause_of, in_plain_words

DEADLINE_S = 10.0
"""QEMU answers within 0.1 s, and the secure processor within one."""
EXIT_S = 1.0
"""A QEMU that is no use is given this long to say why, within the deadline."""
WORDS_BYTES = 4096
"""Of its standard error: it says why it cannot start in one line or two."""
CERTIFICATES_CHARACTERS = 16_384
"""The chain has 6252 bytes, and base64 a third more."""

ARGUMENTS = (
    *("-machine", "none,accel=kvm"),
    *("-nodefaults", "-no-user-config", "-display", "none"),
    *("-S", "-qmp", "stdio"),
)
CAPABILITIES = "query-sev-capabilities"

QUARTETS = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Base64 = Annotated[str, msgspec.Meta(max_length=CERTIFICATES_CHARACTERS, pattern=QUARTETS)]


class Platform(msgspec.Struct, frozen=True, rename="kebab"):
    """QMP's answer to query-sev-capabilities: certificates in base64, for an owner to verify."""

    pdh: Base64
    cert_chain: Base64
    cpu0_id: Base64
    cbitpos: Annotated[int, msgspec.Meta(ge=0, le=63)]
    reduced_phys_bits: Annotated[int, msgspec.Meta(ge=0, le=63)]

    @property
    def for_qemu(self) -> SevPlatform:
        """What QEMU must be told to launch a guest here."""
        return SevPlatform(self.cbitpos, self.reduced_phys_bits)


class Unavailable(msgspec.Struct, frozen=True):
    """This host cannot run SEV guests; ``why`` is for people, and says what would help."""

    why: str


async def read_platform(
    qemu: str, user: QemuUser | None = None, deadline_s: float = DEADLINE_S
) -> Platform | Unavailable:
    """Ask ``qemu``, which runs as the user that guests run as. It is gone when this returns."""
    if not qemu:
        return Unavailable("QEMU is not installed; run: apt-get install qemu-system-x86")
    try:
        with trio.fail_after(deadline_s):
            async with _probe(qemu, user) as process:
                return await _ask(process)
    except trio.TooSlowError:
        return Unavailable(f"QEMU did not tell of the processor within {deadline_s:g} s")
    except OSError as error:
        return Unavailable(f"QEMU ({qemu}) cannot be started: {error.strerror or error}")


@asynccontextmanager
async def _probe(qemu: str, user: QemuUser | None) -> AsyncIterator[trio.Process]:
    process = await trio.lowlevel.open_process(
        (qemu, *ARGUMENTS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C at a terminal is for the daemon
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=user.groups if user else None,
    )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):  # killed, it is gone within milliseconds
            process.kill()
            await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)


async def _ask(process: trio.Process) -> Platform | Unavailable:
    assert process.stdio is not None
    client = QmpClient(process.stdio)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        try:
            await client.negotiate(deadline_s=DEADLINE_S)
            answer = await client.execute(CAPABILITIES, deadline_s=DEADLINE_S)
            return msgspec.convert(answer, Platform)
        except QmpCommandRefused as error:
            return Unavailable(in_plain_words(printable(str(error))))
        except msgspec.ValidationError:
            return Unavailable(f"QEMU's answer to {CAPABILITIES} cannot be understood")
        except QmpError as error:
            return Unavailable(await _last_words(process) or printable(str(error)))
        finally:
            nursery.cancel_scope.cancel()


async def _last_words(process: trio.Process) -> str:
    """Return why a QEMU that hung up did so, as far as it says."""
    assert process.stderr is not None
    said = b""
    with trio.move_on_after(EXIT_S):
        while len(said) < WORDS_BYTES and (more := await process.stderr.receive_some(WORDS_BYTES)):
            said += more
    lines = printable(said.decode(errors="replace")).strip().splitlines()
    known = next((line for line in lines if cause_of(line)), None)
    return in_plain_words(known) if known else "; ".join(lines[-1:])
