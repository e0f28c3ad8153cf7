"""Who may fetch a result: its submitter and the consumers of the manifest, where it names some."""

from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.state import VmState


def check_consumer(state: VmState, principal: str) -> None:
    """Raise CommandDenied for a principal whom the result is not for."""
    consumers = state.manifest.result_consumers
    if consumers and principal not in (state.principal, *consumers):
        told = f"the result of VM {state.vm_id!r} is for its submitter and the consumers"
        raise CommandDenied(
            DenyReason.NOT_A_CONSUMER, f"{told} that its manifest names; {principal} is neither"
        )
