"""The files of a VM whose deletion is ordered: tried until they are gone, whatever holds them."""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.observations import TimerKind
from supervisor.vm.spec import MINUTE_MS, SECOND_MS
from supervisor.vm.state import Desired, Phase, VmState

RETRY_MIN_MS = SECOND_MS
RETRY_MAX_MS = 10 * MINUTE_MS
"""Tried again after as long as it has failed, within these bounds: it takes an operator to let go
of such a file, who may also repeat the order."""


def remove_files(state: VmState) -> fx.RemoveFiles:
    """Return the order to remove what the VM has on the disk; safe to repeat."""
    return fx.RemoveFiles(state.launch_number)


def after_removal(
    state: VmState, seen: ob.FilesRemoved | ob.RemovalFailed, now_ms: int
) -> Decision:
    """The files are gone, and the VM with them; or they are not, and are tried again."""
    if state.desired is not Desired.DELETED or state.phase is Phase.DELETED:
        return NOTHING
    if isinstance(seen, ob.FilesRemoved):
        return Decision((ev.VmDeleted(seen.launch),))
    return _try_later(state, seen.detail, now_ms)


def try_again(state: VmState) -> Decision:
    """The wait is over."""
    deleting = state.desired is Desired.DELETED
    return Decision(effects=(remove_files(state),)) if deleting else NOTHING


def _try_later(state: VmState, detail: str, now_ms: int) -> Decision:
    # Only the first failure is an event, or a file that stays for ever would fill the log.
    since = state.removal_failed_ms
    failing_ms = 0 if since is None else now_ms - since
    retry = now_ms + min(max(failing_ms, RETRY_MIN_MS), RETRY_MAX_MS)
    failed = () if since is not None else (ev.RemovalFailed(state.launch_number, detail),)
    return Decision(failed, (fx.ArmTimer(state.launch_number, TimerKind.REMOVAL, retry),))
