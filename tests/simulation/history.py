"""What the log tells of each VM, event by event: no launch is intended twice, and none too many.

It reads the events and not the states, so that a fold that counts wrongly is found out.
"""

from eventlog import Record
from supervisor.journal import VM_PREFIX, decode, recorded_ms
from supervisor.schema import TAGS
from supervisor.vm import events as ev
from supervisor.vm.spec import RestartPolicy
from tests.simulation.violation import Violation

_TOLD = {
    TAGS[kind]
    for kind in (ev.ComputationSubmitted, ev.LaunchIntended, ev.LaunchEnded, ev.StartOrdered)
}


class History:
    """The launches and the restarts of every VM."""

    def __init__(self) -> None:
        self._policies: dict[str, RestartPolicy] = {}
        self._launches: dict[str, int] = {}
        self._restarts: dict[str, list[int]] = {}

    def take(self, record: Record) -> None:
        """Take the next event into account. Raises Violation."""
        if record.type not in _TOLD:
            return
        vm_id = record.stream.removeprefix(VM_PREFIX)
        match decode(record):
            case ev.ComputationSubmitted(manifest=manifest):
                self._policies[vm_id] = manifest.restart
            case ev.LaunchIntended(launch=launch):
                self._intended(vm_id, launch)
            case ev.StartOrdered():
                self._restarts[vm_id] = []
            case ev.LaunchEnded():
                self._restarts.setdefault(vm_id, []).append(recorded_ms(record))
                self._count(vm_id)

    def _intended(self, vm_id: str, launch: int) -> None:
        before = self._launches.get(vm_id, 0)
        if launch <= before:
            what = f"{vm_id}: launch {launch} after {before}"
            raise Violation("a launch is intended once", what)
        self._launches[vm_id] = launch

    def _count(self, vm_id: str) -> None:
        policy, restarts = self._policies[vm_id], self._restarts[vm_id]
        recent = [at for at in restarts if at > restarts[-1] - policy.period_ms]
        if len(recent) > policy.max_restarts:
            what = f"{vm_id}: {len(recent)} within {policy.period_ms} ms"
            raise Violation("no more restarts than the policy has", what)
