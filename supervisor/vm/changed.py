"""A state with some of its fields changed: the alphabet in which the fold is written."""

import msgspec

from supervisor.vm.observations import TimerKind
from supervisor.vm.state import VmState


def changed(state: VmState, **changes: object) -> VmState:
    """Return ``state`` with other values in some of its fields."""
    return msgspec.structs.replace(state, **changes)


def with_launch(state: VmState, **changes: object) -> VmState:
    """Return ``state`` with other values in some fields of its current launch."""
    return changed(state, launch=msgspec.structs.replace(state.current, **changes))


def with_guest_event(state: VmState) -> VmState:
    """Return ``state`` with one more event counted that the guest alone can cause."""
    return with_launch(state, guest_events=state.current.guest_events + 1)


def without_deadline(state: VmState, kind: TimerKind) -> VmState:
    """Return ``state`` with a deadline disarmed."""
    return changed(state, deadlines={k: at for k, at in state.deadlines.items() if k is not kind})
