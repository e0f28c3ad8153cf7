"""After replay: which questions to ask the world, and which deadlines to arm again."""

from supervisor.vm import effects as fx
from supervisor.vm.contact import reattach
from supervisor.vm.ending import release
from supervisor.vm.launching import begin_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.removing import remove_files
from supervisor.vm.spec import SECOND_MS
from supervisor.vm.state import Desired, Phase, VmState

HEARING_MS = 10 * SECOND_MS
"""What a guest gets to say what it did while nobody listened, before a deadline that passed
meanwhile counts: QEMU is reached within two seconds, and the agent repeats itself each second."""

HEARD_FIRST = frozenset({TimerKind.TTL, TimerKind.LAUNCH})
"""Deadlines that the guest may have met; those of a stop are of our own steps."""


def recover(state: VmState) -> tuple[fx.Effect, ...]:
    """Return the effects that pick up what the log left unfinished; a new VM is such a case."""
    match state.phase:
        case Phase.DEFINED | Phase.QUEUED:
            return begin_launch(state)
        case Phase.BACKOFF | Phase.AWAITING_SESSION | Phase.AWAITING_INPUTS:
            waits = state.deadlines.items()
            timers = (fx.ArmTimer(state.next_launch, kind, at) for kind, at in waits)
            return (*release(state), *timers)
        case Phase.STOPPING if state.current.exit_evidence is not None:
            limit = state.manifest.limits.result_bytes
            launch = state.current
            return (fx.CollectResult(launch.number, launch.directory, limit),)
        case (
            Phase.LAUNCHING
            | Phase.AWAITING_VERIFICATION
            | Phase.RUNNING
            | Phase.PAUSED
            | Phase.STOPPING
        ):
            return (reattach(state), *_timers(state))
        case Phase.STOPPED | Phase.FAILED:
            if state.desired is Desired.DELETED:
                return (remove_files(state),)
            # The daemon may have died between the last event and the clearing of the disks.
            return release(state)
        case Phase.DELETED:
            return ()


def _timers(state: VmState) -> tuple[fx.Effect, ...]:
    return tuple(
        fx.ArmTimer(state.launch_number, kind, at, HEARING_MS if kind in HEARD_FIRST else 0)
        for kind, at in state.deadlines.items()
    )
