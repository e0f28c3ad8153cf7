"""The fold of the inputs that providers bring."""

from supervisor.vm.changed import changed
from supervisor.vm.input_events import InputEvent, InputProvided, InputsAwaited
from supervisor.vm.inputs import InputName, ProvidedInput
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import Phase, VmState


def evolve_inputs(state: VmState, event: InputEvent) -> VmState:
    """Return the state after one more event of these."""
    match event:
        case InputsAwaited():
            deadlines = {TimerKind.INPUTS: event.deadline_ms}
            return changed(state, phase=Phase.AWAITING_INPUTS, deadlines=deadlines)
        case InputProvided():
            return _provided(state, event)


def _provided(state: VmState, event: InputProvided) -> VmState:
    came = ProvidedInput(InputName(event.provider, event.id), event.sha256, event.size)
    after = changed(state, provided=(*state.provided, came))
    if after.missing_inputs:
        return after
    # It had no turn while it waited: its place in the queue counts from now.
    return changed(after, phase=Phase.DEFINED, deadlines={}, relaunch_due_ms=state.seen_ms)
