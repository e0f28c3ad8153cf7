"""A party brings its input: taken once, by the name that the manifest gives it."""

from supervisor.vm import events as ev
from supervisor.vm.awaiting import launch_again
from supervisor.vm.changed import changed
from supervisor.vm.commands import CommandDenied, DenyReason, ProvideInput
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.field_rules import quoted
from supervisor.vm.inputs import InputName, ProvidedInput, awaited_inputs, listed
from supervisor.vm.observations import TimerKind
from supervisor.vm.overdue import check_in_time
from supervisor.vm.state import Phase, VmState


def accept_input(state: VmState, command: ProvideInput, now_ms: int) -> Decision:
    """Keep an input; with the last one the launch begins. Raises CommandDenied."""
    came = ProvidedInput(InputName(command.provider, command.id), command.sha256, command.size)
    if _is_there(state, came):
        return NOTHING
    check_wanted(state, came.name)
    check_in_time(state, TimerKind.INPUTS, now_ms)
    provided = ev.InputProvided(command.provider, command.id, command.sha256, command.size)
    after = changed(state, provided=(*state.provided, came))
    if after.missing_inputs:
        return Decision((provided,))
    return launch_again(after, now_ms).after(provided)


def check_wanted(state: VmState, name: InputName) -> None:
    """Raise CommandDenied for an input that cannot come now, whatever its bytes are."""
    check_named(state, name)
    if name in state.missing_inputs and state.phase is not Phase.AWAITING_INPUTS:
        told = f"VM {state.vm_id!r} is in phase {state.phase.value} and awaits no inputs"
        raise CommandDenied(DenyReason.WRONG_PHASE, f"{told}; start it again first")


def check_named(state: VmState, name: InputName) -> None:
    """Raise CommandDenied for an input that the manifest awaits from nobody."""
    if name not in awaited_inputs(state.manifest):
        wants = listed(state.missing_inputs) or "no input from anybody"
        told = f"VM {state.vm_id!r} awaits no input {quoted(str(name))}; it awaits {wants}"
        raise CommandDenied(DenyReason.INPUT_UNKNOWN, told)


def _is_there(state: VmState, came: ProvidedInput) -> bool:
    check_named(state, came.name)
    earlier = next((each for each in state.provided if each.name == came.name), None)
    if earlier is not None and earlier.sha256 != came.sha256:
        told = f"{came.name} of VM {state.vm_id!r} was provided before, as {earlier.sha256}"
        raise CommandDenied(DenyReason.INPUT_ALREADY_PROVIDED, told)
    return earlier is not None
