"""The session of the next launch: of one launch and no other, or its keys could be reused.

The first comes with the manifest. Each further launch waits for one (:mod:`.awaiting`), for as long
as its owner has to decide about a launch.
"""

from supervisor.vm import events as ev
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.confidential import GuestSession
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.launching import begin_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.overdue import check_in_time
from supervisor.vm.state import Desired, Phase, VmState

TAKES_SESSION = (Phase.AWAITING_SESSION, Phase.BACKOFF, Phase.STOPPED, Phase.FAILED)


def accept_session(state: VmState, session: GuestSession, now_ms: int) -> Decision:
    """Keep a session for the next launch, which begins where it waited for one."""
    of_launch = state.launch.session if state.launch else None
    taken = state.phase in TAKES_SESSION
    if session == state.session or (session == of_launch and not taken):
        return NOTHING
    if not taken or state.desired is Desired.DELETED:
        detail = f"VM {state.vm_id!r} is in phase {state.phase.value} and awaits no session"
        raise CommandDenied(DenyReason.WRONG_PHASE, detail)
    check_in_time(state, TimerKind.SESSION, now_ms)
    if session.sha256 in state.used_sessions:
        detail = f"the session {session.sha256} was of an earlier launch: each needs its own"
        raise CommandDenied(DenyReason.SESSION_REUSED, detail)
    provided = ev.SessionProvided(state.next_launch, session)
    due = state.phase is Phase.AWAITING_SESSION
    return Decision((provided,), begin_launch(state) if due else ())
