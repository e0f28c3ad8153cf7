"""The rungs from asking the guest to SIGKILL, each with the time that it is given."""

import pytest

from supervisor.vm.commands import Stop
from supervisor.vm.events import StopStep
from supervisor.vm.observations import TimerFired, TimerKind
from supervisor.vm.spec import MINUTE_MS, SECOND_MS
from tests.vm.states import COMPUTING, MANIFEST, NOW, after

GRACE_MS = MANIFEST.limits.stop_grace_ms

RUNGS = [
    (StopStep.ASK_GUEST, GRACE_MS),
    (StopStep.QUIT, 5 * SECOND_MS),
    (StopStep.TERMINATE, 5 * SECOND_MS),
    (StopStep.KILL, MINUTE_MS),
    (StopStep.KILL, MINUTE_MS),  # an uninterruptible sleep outlives SIGKILL: it is sent again
]


@pytest.mark.fault("grace-not-given", "guest-ignores-acpi")
def test_a_vm_that_will_not_stop_is_taken_down_the_ladder_rung_by_rung() -> None:
    vm, now_ms = after(COMPUTING, Stop()), NOW
    taken = []
    for _ in RUNGS:
        assert vm.ending is not None
        due_ms = vm.deadlines[TimerKind.STOP]
        taken.append((vm.ending.step, due_ms - now_ms))
        vm, now_ms = after(vm, TimerFired(1, TimerKind.STOP, due_ms), now_ms=due_ms), due_ms
    assert taken == RUNGS
