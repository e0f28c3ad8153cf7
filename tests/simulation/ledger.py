"""What was promised, and whether the log keeps it: the invariants that span lives."""

from collections.abc import Iterable

from eventlog import Record
from supervisor.journal import VM_PREFIX
from supervisor.replay import Replay, World
from supervisor.schema import TAGS
from supervisor.vm import events as ev
from supervisor.vm.state import ENDED, Desired, VmState
from tests.simulation.history import History
from tests.simulation.violation import Violation

_DELETED = TAGS[ev.VmDeleted]


class Ledger:
    """Every word that anybody was given, held against the log at each start of the daemon."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, int], VmState] = {}
        self._keys: dict[str, str] = {}
        self._denied: set[str] = set()
        self._seen: list[str] = []
        self._stopped: dict[str, int] = {}
        self._started: dict[str, int] = {}
        self._history = History()

    def state_shown(self, state: VmState) -> None:
        """Note a state that somebody saw: the log must come to it, at the same version."""
        self._states[state.vm_id, state.version] = state

    def key_answered(self, key: str, vm_id: str) -> None:
        """Note the VM that a submission was answered with: the same for every repetition."""
        if self._keys.setdefault(key, vm_id) != vm_id:
            raise Violation("a key stands for one VM", f"{key}: {self._keys[key]}, then {vm_id}")

    def stop_answered(self, state: VmState) -> None:
        """Note that a client was told that a VM is to end."""
        if state.phase not in ENDED and state.desired not in (Desired.ENDED, Desired.DELETED):
            raise Violation("a stop stays a stop", f"{state.vm_id}: it is answered, not recorded")
        self._stopped[state.vm_id] = max(state.version, self._stopped.get(state.vm_id, 0))

    def start_ordered(self, state: VmState) -> None:
        """Note that a client has a VM launched again: its earlier stops count no more."""
        self._started[state.vm_id] = state.version

    def check_start(self, state: VmState) -> None:
        """Refuse the start of a guest that was to end."""
        stopped = self._stopped.get(state.vm_id, 0)
        if stopped > self._started.get(state.vm_id, 0):
            what = f"{state.vm_id} goes on after its stop at version {stopped}"
            raise Violation("a stop stays a stop", what)

    def denied(self, command_id: str) -> None:
        """Note a request that was refused: it leaves no event."""
        self._denied.add(command_id)

    def record_seen(self, record: Record) -> None:
        """Note what a subscriber was shown: without gaps, and for ever."""
        if record.position <= len(self._seen):
            self._compare(record)
            return
        if record.position != len(self._seen) + 1:
            what = f"{record.position} after {len(self._seen)}"
            raise Violation("positions are gapless", what)
        self._seen.append(record.event_id)
        self._history.take(record)

    @property
    def cursor(self) -> int:
        """The last position that the subscriber saw."""
        return len(self._seen)

    def may_begin_from(self, world: World) -> bool:
        """Whether no promise needs what was before this fold."""
        return all(
            vm_id not in world.vms or version >= world.vms[vm_id].version
            for vm_id, version in self._states
        )

    def audit(self, replay: Replay, records: Iterable[Record]) -> None:
        """Fold on to the end, and hold every promise against the log. Raises Violation."""
        for state in replay.world.vms.values():
            self._compare_state(state.vm_id, state.version, replay.world)
        for record in records:
            if record.position != replay.position + 1:
                what = f"{record.position} after {replay.position}"
                raise Violation("positions are gapless", what)
            replay.take(record)
            self._check(record, replay.world)
        self._conclude(replay.position, replay.world)

    def _check(self, record: Record, world: World) -> None:
        self.record_seen(record)
        if record.correlation_id in self._denied:
            what = f"{record.type} at {record.position}"
            raise Violation("a refused command leaves no event", what)
        if not record.stream.startswith(VM_PREFIX):
            return
        vm_id = record.stream.removeprefix(VM_PREFIX)
        if record.type == _DELETED:
            self._states.pop((vm_id, record.version), None)
        else:
            self._compare_state(vm_id, record.version, world)

    def _compare_state(self, vm_id: str, version: int, world: World) -> None:
        shown = self._states.pop((vm_id, version), None)
        if shown is not None and world.vms.get(vm_id) != shown:
            what = f"{vm_id} at version {version}: {_difference(shown, world, vm_id)}"
            raise Violation("replay equals live", what)

    def _compare(self, record: Record) -> None:
        if self._seen[record.position - 1] != record.event_id:
            what = f"position {record.position} was shown with another event"
            raise Violation("what was shown stays", what)

    def _conclude(self, head: int, world: World) -> None:
        if head < len(self._seen):
            what = f"{len(self._seen)} positions were shown, {head} are left"
            raise Violation("what was shown stays", what)
        if world.unavailable or world.host is not None:
            what = str(world.host or world.unavailable)
            raise Violation("what we wrote can be read", what)
        for vm_id, version in self._states:
            what = f"{vm_id} at version {version} was answered, and is not in the log"
            raise Violation("no acknowledged command is lost", what)
        for key, vm_id in self._keys.items():
            if not world.admission.has_taken(vm_id):
                what = f"{key}: the computation {vm_id} is gone"
                raise Violation("no acknowledged command is lost", what)


def _difference(shown: VmState, world: World, vm_id: str) -> str:
    folded = world.vms.get(vm_id)
    if folded is None:
        return "it is not there"
    fields = (name for name in shown.__struct_fields__)
    return "; ".join(
        f"{name} was {getattr(shown, name)!r}, folds to {getattr(folded, name)!r}"
        for name in fields
        if getattr(shown, name) != getattr(folded, name)
    )
