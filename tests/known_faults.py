"""Faults that this daemon is to be free of: each has tests that carry its id as a mark.

``@pytest.mark.fault("id", ...)`` stands on the tests that show a fault handled, on what is real
wherever that can be had. ``tools/fault_table`` writes docs/faults.md from both.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tests.source_tree import Function, modules

MARK = "pytest.mark.fault"


class Fault(NamedTuple):
    """One row of the page."""

    id: str
    what: str
    here: str
    seen: str = ""
    """Where others met it: the project, or its public issues as project#number."""


class Proof(NamedTuple):
    """A test that carries the mark, and the file it is in, below the project's root."""

    file: str
    test: str


MET_ELSEWHERE = (
    Fault(
        "crash-unnoticed",
        "A VM that crashed stays a zombie and counts as running.",
        "A pidfd tells of every exit, and a zombie is dead. The exit is in the log with its signal"
        " or status.",
        "Cocos (polls with `kill(pid, 0)`); flintlock#178, flintlock#198",
    ),
    Fault(
        "vms-lost-with-daemon",
        "The daemon dies, and its VMs are lost, are killed, or cannot be removed any more.",
        "VMs live on. The next daemon finds them by proofs that it records, and every order works"
        " on them again.",
        "cocos#214, cocos#157; kubevirt#18765; nomad#5593",
    ),
    Fault(
        "pid-reused",
        "A process that got a VM's old number is taken for the VM, and killed.",
        "A number proves nothing: the launch's lock, the pidfile's lock, start time, UUID and the"
        " peer of the QMP socket do.",
        "Cocos; nomad#23969; nomad-driver-exec2#9",
    ),
    Fault(
        "eperm-is-dead",
        "A process that may not be signalled is taken for dead.",
        "It is alive and not ours: the VM is silent, and nothing is launched in its place.",
        "Cocos",
    ),
    Fault(
        "stale-event",
        "What an earlier incarnation still says, or a timer of it, ends the next one.",
        "Every observation and timer carries the number of its launch. Others are recorded and"
        " never believed.",
        "libvirt, commit dd2f36d6",
    ),
    Fault(
        "orphan-after-spawn",
        "A crash between starting the process and saving that it was started leaves an orphan.",
        "The intent is durable before anything is started, so the next daemon knows what to look"
        " for. Then it looks for processes that are in no log.",
        "libvirt, commit 5169e5ea; containerd#6860",
    ),
    Fault(
        "one-blocks-all",
        "One state that cannot be read, or one VM that is stuck, blocks all the others.",
        "Each VM has its own stream, actor and deadlines. One that cannot be read or does not"
        " answer is told of, and delays nobody.",
        "Cocos; incus#3558",
    ),
    Fault(
        "runs-twice",
        "What cannot be reached is taken for gone, and is started a second time.",
        "Silence is no end. A VM is launched again only when its process is proven to be gone.",
        "kubevirt#17752; containerd#13784",
    ),
    Fault(
        "limits-in-memory",
        "Time to live and restart counts are only in memory, and begin anew with the daemon.",
        "Deadlines and counts are events. The next daemon arms what is left of them.",
        "Cocos; Incus",
    ),
    Fault(
        "stop-does-not-last",
        "What was stopped starts again; a reboot is taken for a stop, or a stop for a reboot.",
        "What a client ordered last is in the log and counts. A reset, a reboot and a power-off"
        " are told apart.",
        "incus#3261, incus#3166; cloud-hypervisor#6274",
    ),
    Fault(
        "grace-not-given",
        "A graceful stop that never was: the guest is killed at once, or waited for without end.",
        "The guest is asked, then QEMU, then its process, each with a deadline that is durable"
        " before it is tried.",
        "nomad#27316; talos#13044",
    ),
    Fault(
        "end-unexplained",
        "A VM ended, and nobody can say why.",
        "Every end has an outcome, a sentence and the evidence, also when no daemon was there.",
        "kubevirt#18948; lxd#15866",
    ),
    Fault(
        "port-given-twice",
        "Two VMs get the same port of the host, or a port is not held any more after a restart.",
        "A port is chosen and recorded before QEMU is started, held by QEMU, and reserved again"
        " before anything is given after a restart.",
        "Cocos; cocos#236",
    ),
    Fault(
        "secret-exposed",
        "Secrets lie in a temporary folder where all may read them, and stay when a creation"
        " fails.",
        "Everything of a VM is in a directory of its own that only the daemon's user enters, and"
        " goes with it. Secrets are in no command line, event or recording.",
        "Cocos",
    ),
    Fault(
        "subscriber-loses-events",
        "A subscriber that falls behind loses events, or has no way to go on where it was.",
        "The cursor is a position in the log: whoever comes back reads on from there. Who is cut"
        " off for being slow is told the position.",
        "Incus (keeps 1,000); Backend.AI; nomad#11296",
    ),
    Fault(
        "errors-unknown",
        "Every error of the API is UNKNOWN.",
        "Each reason for a refusal has one status, in one table.",
        "Cocos",
    ),
    Fault(
        "runs-mixed-up",
        "Steps done by one run count for another, and a failure is archived as a success.",
        "A VM is a fold of its own stream, and each launch has its own number, files and end.",
        "superfly/fsm",
    ),
    Fault(
        "key-freezes-failure",
        "An idempotency key keeps giving the answer of a failure that was to pass.",
        "Key, digest and acceptance are one append: a refusal spends no key. A VM that failed can"
        " be started again.",
        "cmux#11172",
    ),
    Fault(
        "long-answer",
        "An answer of QEMU of more than 64 KiB ends the conversation.",
        "Answers may be as long as QEMU makes them, up to a bound far above the longest.",
        "Incus, Kata",
    ),
    Fault(
        "no-greeting",
        "QEMU talks to one client at a time: a second one, or one of a stopped QEMU, waits for"
        " ever.",
        "The greeting has a deadline. The VM is silent until QEMU greets, and people have a monitor"
        " of their own.",
        "QEMU",
    ),
    Fault(
        "reader-stalls-qemu",
        "A client that does not read makes the memory of QEMU grow.",
        "The reader never waits for those it reads for. What nobody takes is counted, and the gap"
        " is told.",
        "QEMU",
    ),
)
"""What other managers of VMs, and QEMU's own interface, are known for."""

BAD_INPUT = (
    Fault(
        "state-of-another-host",
        "A state directory that was copied to another host.",
        "It is served as a new node, its VMs end as `lost-by-reboot`, and a warning says so.",
    ),
    Fault(
        "log-from-the-future",
        "A log whose last event is ahead of the host's clock.",
        "A warning; time goes on from the last event.",
    ),
    Fault(
        "directory-deleted",
        "A VM's directory that was deleted by hand.",
        "With a living QEMU the VM is silent and can be killed; without one it can be deleted.",
    ),
    Fault(
        "strangers-pidfile",
        "A pidfile with the number of a stranger.",
        "The other proofs decide; the stranger is not touched.",
    ),
    Fault(
        "strangers-socket",
        "A QMP socket that another QEMU, or another process, serves.",
        "It is not believed, the VM is silent, and the log names the process. A kill reaches the"
        " launch's own QEMU.",
    ),
    Fault(
        "qemu-stopped",
        "A QEMU that was stopped by SIGSTOP.",
        "Silent within 15 seconds, and back on SIGCONT. Others do not notice; it can be killed.",
    ),
    Fault(
        "guest-ignores-acpi",
        "A guest that ignores the power button and every other request.",
        "When its grace is over, QEMU is told to quit, and after that signalled.",
    ),
    Fault(
        "agent-never-ready",
        "An agent that never gets ready.",
        "The launch deadline ends the VM, with that outcome.",
    ),
    Fault(
        "thousand-submissions",
        "A thousand submissions at once.",
        "Each is taken or refused within its time; who was taken has a place in the queue that"
        " outlives the daemon.",
    ),
    Fault(
        "host-in-want",
        "A host without memory, file descriptors or room on its disk.",
        "What needed them fails and says so. The daemon and all other VMs live on, and what was"
        " acknowledged stays.",
    ),
)
"""What hosts, guests and people may do to a daemon: a clear outcome, never a hang."""

FAULTS = (*MET_ELSEWHERE, *BAD_INPUT)


def proofs() -> dict[str, list[Proof]]:
    """Return the tests that carry each fault's mark, in the order of their files."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for module in modules("tests"):
        for function in module.functions():
            for fault in marks(function):
                found[fault].append(Proof(str(module), function.name))
    return found


def marks(function: Function) -> Iterator[str]:
    """Yield the faults that a test is said to show handled."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == MARK:
            yield from map(ast.literal_eval, decorator.args)
