"""The names of files in a VM's directory and the descriptors that QEMU inherits.

``vms/<vm_id>/launch-<n>/`` holds everything of one launch, so that two launches never share a
socket, a lock or a disk.
"""

from enum import IntEnum

QMP_SOCKET = "qmp.sock"
MONITOR_SOCKET = "monitor.sock"
AGENT_SOCKET = "agent.sock"
CONSOLE_SOCKET = "console.sock"
PIDFILE = "qemu.pid"
LOCK = "launch.lock"
STDERR_LOG = "stderr.log"
CONSOLE_LOG = "console.log"
GUEST_LOG = "guest.log"
TRANSCRIPT = "transcript.ndjson"
INPUTS_DISK = "inputs.tar"
RESULTS_DISK = "results.img"
FIRMWARE_VARS = "firmware-vars.fd"
"""Of the VM, not of one launch: what a guest told its firmware outlives a launch."""

AGENT_PORT = "org.chronovisor.agent.0"
INPUTS_SERIAL = "inputs"
RESULTS_SERIAL = "results"
RESULT_HEADER_BYTES = 512
"""One sector of its own before the archive (docs/agent-protocol.md)."""


class InheritedFd(IntEnum):
    """Descriptors at fixed numbers in QEMU, so that the recorded argv is exactly what ran.

    QEMU is given no path of the state directory: what it may touch, it holds already.
    """

    QMP = 3
    MONITOR = 4
    AGENT = 5
    CONSOLE = 6
    LOCK = 7
    PIDFILE = 8
    CONSOLE_LOG = 9
    INPUTS = 10
    RESULTS = 11
    KERNEL = 12
    INITRD = 13
    FIRMWARE = 14
    FIRMWARE_VARS = 15
    GODH_CERT = 16
    SESSION = 17


LAUNCH_PREFIX = "launch-"


def launch_directory(launch: int) -> str:
    """Return the name of a launch's directory within its VM's directory."""
    return f"{LAUNCH_PREFIX}{launch}"
