"""What the next launch waits for before its turn: first its inputs, then its owner's session."""

from collections.abc import Iterable

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm.confidential import Sev, Verification
from supervisor.vm.decision import Decision
from supervisor.vm.ending import release
from supervisor.vm.inputs import ProvidedInput, missing_inputs
from supervisor.vm.launching import begin_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.spec import Manifest
from supervisor.vm.state import VmState


def launch_again(state: VmState, now_ms: int) -> Decision:
    """Begin the next launch, or wait for what it needs."""
    if missing := inputs_awaited(state.manifest, state.provided, now_ms):
        return _wait(state, missing, TimerKind.INPUTS)
    if owed := _session_awaited(state, now_ms):
        return _wait(state, owed, TimerKind.SESSION)
    return Decision(effects=begin_launch(state))


def inputs_awaited(
    manifest: Manifest, provided: Iterable[ProvidedInput], now_ms: int
) -> ev.InputsAwaited | None:
    """Return that inputs are awaited from now on, where some have not come."""
    missing = missing_inputs(manifest, provided)
    deadline = now_ms + manifest.limits.inputs_deadline_ms
    return ev.InputsAwaited(missing, deadline) if missing else None


def _session_awaited(state: VmState, now_ms: int) -> ev.SessionAwaited | None:
    wanted = state.manifest.confidential
    if not isinstance(wanted, Sev) or wanted.verification is not Verification.OWNER:
        return None
    due = now_ms + wanted.deadline_ms
    return None if state.session else ev.SessionAwaited(state.next_launch, due)


def _wait(
    state: VmState, awaited: ev.InputsAwaited | ev.SessionAwaited, kind: TimerKind
) -> Decision:
    timer = fx.ArmTimer(state.next_launch, kind, awaited.deadline_ms)
    return Decision((awaited,), (*release(state), timer))
