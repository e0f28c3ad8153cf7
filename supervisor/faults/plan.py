"""What may go wrong, and when: the vocabulary of a fault plan (docs/fault-injection.md).

Each fault happens once, at the ``nth`` time, in one life of the daemon, that its trigger is met.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Annotated

import msgspec

from supervisor.written.quantities import DURATION_TAKES, Duration

Nth = Annotated[int, msgspec.Meta(ge=1, description="a whole number from 1")]
VmId = Annotated[str, msgspec.Meta(description='the id of a VM, or "" for every VM')]
Time = Annotated[Duration, msgspec.Meta(description=DURATION_TAKES)]
Word = Annotated[str, msgspec.Meta(min_length=1, description="a word")]


class AppendMoment(Enum):
    """The moments of one append, in their order."""

    BEFORE_WRITE = "before-write"
    AFTER_WRITE = "after-write"
    AFTER_FSYNC = "after-fsync"
    AFTER_ANSWER = "after-answer"
    """Whoever waited for the append has gone on, and what it had to say has left the daemon."""


class EffectMoment(Enum):
    """The moments of one effect."""

    BEFORE = "before"
    AFTER = "after"
    """Its work is done, and what came of it is not yet known to the VM's actor."""


class DiskError(Enum):
    """What a failing disk says (errno(3))."""

    EIO = "EIO"
    ENOSPC = "ENOSPC"


class DelayQmp(msgspec.Struct, frozen=True):
    """A QMP command reaches QEMU late."""

    command: Word
    by: Time
    nth: Nth = 1
    vm: VmId = ""


class DropQmp(msgspec.Struct, frozen=True):
    """A QMP command never reaches QEMU, and is never answered."""

    command: Word
    nth: Nth = 1
    vm: VmId = ""


class CorruptQmp(msgspec.Struct, frozen=True):
    """QEMU gets a QMP command, and what it says next is no QMP."""

    command: Word
    nth: Nth = 1
    vm: VmId = ""


class RefuseQmp(msgspec.Struct, frozen=True):
    """A QMP command never reaches QEMU, and is answered with an error."""

    command: Word
    nth: Nth = 1
    vm: VmId = ""


class StallAgent(msgspec.Struct, frozen=True):
    """From a message of this type on, nothing that the agent says is heard for a time."""

    message: Word
    by: Time
    nth: Nth = 1
    vm: VmId = ""


class FailAppend(msgspec.Struct, frozen=True):
    """The disk refuses an append of the event log."""

    error: DiskError
    nth: Nth = 1


class KillDaemonAtAppend(msgspec.Struct, frozen=True):
    """SIGKILL of the daemon at a moment of an append of the event log."""

    at: AppendMoment
    nth: Nth = 1


class KillDaemonAtEffect(msgspec.Struct, frozen=True):
    """SIGKILL of the daemon before or after an effect."""

    at: EffectMoment
    effect: Word
    nth: Nth = 1
    vm: VmId = ""


class KillQemuAtEffect(msgspec.Struct, frozen=True):
    """SIGKILL of a VM's QEMU before or after an effect."""

    at: EffectMoment
    effect: Word
    nth: Nth = 1
    vm: VmId = ""


class CrashActorAtEffect(msgspec.Struct, frozen=True):
    """A bug in place of an effect: the VM's actor crashes, and is restarted from its log."""

    effect: Word
    nth: Nth = 1
    vm: VmId = ""


QmpFault = DelayQmp | DropQmp | CorruptQmp | RefuseQmp
EffectFault = KillDaemonAtEffect | KillQemuAtEffect | CrashActorAtEffect
Fault = QmpFault | StallAgent | FailAppend | KillDaemonAtAppend | EffectFault


class Plan(msgspec.Struct, frozen=True):
    """Everything that shall go wrong, by kind; one table of the file is one fault."""

    delay_qmp: tuple[DelayQmp, ...] = ()
    drop_qmp: tuple[DropQmp, ...] = ()
    corrupt_qmp: tuple[CorruptQmp, ...] = ()
    refuse_qmp: tuple[RefuseQmp, ...] = ()
    stall_agent: tuple[StallAgent, ...] = ()
    fail_append: tuple[FailAppend, ...] = ()
    kill_daemon_at_append: tuple[KillDaemonAtAppend, ...] = ()
    kill_daemon_at_effect: tuple[KillDaemonAtEffect, ...] = ()
    kill_qemu_at_effect: tuple[KillQemuAtEffect, ...] = ()
    crash_actor_at_effect: tuple[CrashActorAtEffect, ...] = ()

    def faults(self) -> Iterator[Fault]:
        """Yield every fault."""
        for name in self.__struct_fields__:
            yield from getattr(self, name)


def describe(fault: Fault) -> str:
    """Return a fault in one line for people."""
    match fault:
        case DelayQmp(command=command, by=by):
            told = f"QMP command {command} is delayed by {by}"
        case DropQmp(command=command):
            told = f"QMP command {command} is dropped"
        case CorruptQmp(command=command):
            told = f"the answer to QMP command {command} is corrupted"
        case RefuseQmp(command=command):
            told = f"QMP command {command} is refused"
        case StallAgent(message=message, by=by):
            told = f"the agent's {message} is held back for {by}"
        case FailAppend(error=error):
            told = f"an append fails with {error.value}"
        case KillDaemonAtAppend(at=moment):
            told = f"the daemon is killed {moment.value.replace('-', ' ')} of an append"
        case KillDaemonAtEffect(at=moment, effect=effect):
            told = f"the daemon is killed {moment.value} {effect}"
        case KillQemuAtEffect(at=moment, effect=effect):
            told = f"QEMU is killed {moment.value} {effect}"
        case CrashActorAtEffect(effect=effect):
            told = f"the VM's actor crashes in place of {effect}"
    of_vm = getattr(fault, "vm", "")
    return f"{told} (number {fault.nth}{f' of VM {of_vm}' if of_vm else ''})"
