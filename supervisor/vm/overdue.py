"""An order that comes after its deadline is too late, though the timer may not have fired yet."""

from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.observations import TimerKind
from supervisor.vm.spec import SECOND_MS
from supervisor.vm.state import VmState


def check_in_time(state: VmState, kind: TimerKind, now_ms: int) -> None:
    """Raise CommandDenied where the deadline of this kind was set and has passed."""
    deadline_ms = state.deadlines.get(kind)
    if deadline_ms is None or now_ms < deadline_ms:
        return
    ago = f"{(now_ms - deadline_ms) / SECOND_MS:.1f} s ago"
    detail = f"VM {state.vm_id!r} is in phase {state.phase.value}: its deadline was {ago}"
    raise CommandDenied(DenyReason.WRONG_PHASE, detail)
