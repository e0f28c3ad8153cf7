"""Slots and the line before them: whole lives of a host, compared with a plain model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supervisor.admission.line import Line, Place
from supervisor.admission.slots import Slots
from supervisor.vm import events as ev
from supervisor.vm.evolve import define, fold
from supervisor.vm.state import ALIVE, ENDED, Phase, VmState
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST, SHA256

LIMITS = st.integers(1, 4)


def submitted(vm_id: str, at_ms: int) -> VmState:
    event = ev.ComputationSubmitted(MANIFEST, SHA256)
    return define(event, at_ms, vm_id=vm_id, tenant="local", principal="uid:1000")


def intent(state: VmState) -> ev.LaunchIntended:
    return ev.LaunchIntended(
        state.next_launch, DIRECTORY, "uuid", ("qemu",), SHA256, IMAGES, "tcg", 0
    )


class HostLife(RuleBasedStateMachine):
    """VMs come, launch, end, are started again; the daemon dies now and then.

    The model is two lists: who has a slot, and who waits, in the order in which they came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1000
        self.most = 2
        self.slots = Slots(self.most)
        self.states: dict[str, VmState] = {}
        self.unasked: list[str] = []
        self.having: set[str] = set()
        self.waiting: list[str] = []

    # What happens

    @rule()
    def submit(self) -> None:
        vm_id = f"vm-{len(self.states)}"
        self.now_ms += 1
        self._become(submitted(vm_id, self.now_ms))
        self._ask(vm_id)

    @precondition(lambda self: self._granted())
    @rule(data=st.data())
    def launch(self, data: st.DataObject) -> None:
        state = self.states[data.draw(st.sampled_from(self._granted()))]
        self._write(state, intent(state))

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """The daemon died between an intent and its process; another launch follows."""
        vm_id = data.draw(st.sampled_from(self._alive()))
        if len(self.having) > self.most:
            self.having.remove(vm_id)  # fewer may run than did
        self._write(self.states[vm_id], ev.LaunchAbandoned(self.states[vm_id].launch_number))
        self._ask(vm_id)

    @precondition(lambda self: self._unended())
    @rule(data=st.data(), failed=st.booleans())
    def end(self, data: st.DataObject, failed: bool) -> None:  # noqa: FBT001
        vm_id = data.draw(st.sampled_from(self._unended()))
        state = self.states[vm_id]
        if failed or state.phase in ALIVE:
            ended: ev.Event = ev.VmFailed(1, ev.Outcome.QEMU_FAILED_TO_START, "no")
        else:
            ended = ev.VmStopped(1, ev.Outcome.STOPPED_BY_CLIENT, "enough")
        self._write(state, ended)
        self._leave(vm_id)

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def back_off(self, data: st.DataObject) -> None:
        vm_id = data.draw(st.sampled_from(self._alive()))
        ended = ev.LaunchEnded(1, ev.Outcome.QEMU_CRASHED, "signal 11", 1, self.now_ms + 10)
        self._write(self.states[vm_id], ended)
        self._leave(vm_id)

    @precondition(lambda self: self._startable())
    @rule(data=st.data())
    def start_again(self, data: st.DataObject) -> None:
        vm_id = data.draw(st.sampled_from(self._startable()))
        state = self.states[vm_id]
        waited = state.phase is Phase.BACKOFF
        order = ev.BackoffElapsed if waited else ev.StartOrdered
        self._write(state, order(state.next_launch))
        self._ask(vm_id)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """An actor crashed, and asks once more for what it had asked."""
        vm_id = data.draw(st.sampled_from(sorted(self.states)))
        state = self.states[vm_id]
        if state.phase in (Phase.DEFINED, Phase.QUEUED):
            self.slots.enter(vm_id, state.ticket if state.phase is Phase.QUEUED else None)

    @rule()
    def kill_the_daemon(self) -> None:
        self.slots = Slots(self.most)
        self.slots.rebuild(self.states.values())
        for state in list(self.states.values()):
            if state.phase in (Phase.DEFINED, Phase.QUEUED):
                known = state.ticket if state.phase is Phase.QUEUED else None
                ticket = self.slots.enter(state.vm_id, known)
                if ticket not in (None, known):
                    self._write(state, ev.Queued(1, ticket))

    @rule()
    def submit_as_the_daemon_dies(self) -> None:
        """Taken, and nothing more than that is in the log."""
        vm_id = f"vm-{len(self.states)}"
        self.now_ms += 1
        self.states[vm_id] = submitted(vm_id, self.now_ms)
        self.waiting.append(vm_id)
        self._fill()
        self.kill_the_daemon()

    @precondition(lambda self: not self._granted())
    @rule(most=LIMITS)
    def restart_with_another_limit(self, most: int) -> None:
        """Nobody loses a slot that was not used yet; that case has a test of its own."""
        self.most = most
        self.kill_the_daemon()
        self._fill()

    # What must hold

    @invariant()
    def slots_are_had_by_who_came_first(self) -> None:
        assert set(self.slots.claims) == self.having

    @invariant()
    def the_line_has_the_order_of_coming(self) -> None:
        positions = {vm_id: self.slots.line.position(vm_id) for vm_id in self.states}
        expected = {vm_id: index for index, vm_id in enumerate(self.waiting, 1)}
        assert positions == {vm_id: expected.get(vm_id) for vm_id in self.states}

    @invariant()
    def nobody_waits_for_a_slot_that_is_free(self) -> None:
        assert not self.waiting or len(self.slots.claims) >= self.most

    # The model

    def _ask(self, vm_id: str) -> None:
        ticket = self.slots.enter(vm_id, None)
        if vm_id in self.having:
            assert ticket is None
            return
        if len(self.having) < self.most and not self.waiting:
            self.having.add(vm_id)
            assert ticket is None
        else:
            self.waiting.append(vm_id)
            assert ticket is not None
            self._write(self.states[vm_id], ev.Queued(1, ticket))

    def _leave(self, vm_id: str) -> None:
        self.having.discard(vm_id)
        if vm_id in self.waiting:
            self.waiting.remove(vm_id)
        self._fill()

    def _fill(self) -> None:
        while self.waiting and len(self.having) < self.most:
            self.having.add(self.waiting.pop(0))

    def _write(self, state: VmState, event: ev.Event) -> None:
        self.now_ms += 1
        self._become(fold(state, [event], self.now_ms))

    def _become(self, state: VmState) -> None:
        self.states[state.vm_id] = state
        self.slots.follow(state)

    def _granted(self) -> list[str]:
        return sorted(v for v in self.having if self.states[v].phase not in ALIVE)

    def _in(self, *phases: Phase) -> list[str]:
        return sorted(v for v, state in self.states.items() if state.phase in phases)

    def _alive(self) -> list[str]:
        return self._in(*ALIVE)

    def _unended(self) -> list[str]:
        return self._in(Phase.DEFINED, Phase.QUEUED, *ALIVE)

    def _startable(self) -> list[str]:
        return self._in(Phase.BACKOFF, *(ENDED - {Phase.DELETED}))


HostLife.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestHostLife = HostLife.TestCase


class Desk:
    """Slots of one life of the daemon, with the VMs it was given."""

    def __init__(self, most: int, *states: VmState) -> None:
        self.slots = Slots(most)
        self.slots.rebuild(states)
        for state in states:
            self.slots.enter(state.vm_id, state.ticket if state.phase is Phase.QUEUED else None)

    @property
    def having(self) -> list[str]:
        return sorted(self.slots.claims)

    def line(self, *vm_ids: str) -> list[int | None]:
        return [self.slots.line.position(vm_id) for vm_id in vm_ids]


def queued(vm_id: str, at_ms: int, ticket: int) -> VmState:
    return fold(submitted(vm_id, at_ms), [ev.Queued(1, ticket)], at_ms + 5)


def launched(vm_id: str, at_ms: int) -> VmState:
    return fold(submitted(vm_id, at_ms), [intent(submitted(vm_id, at_ms))], at_ms + 5)


def test_who_had_a_slot_and_had_not_launched_keeps_it_over_a_restart() -> None:
    desk = Desk(1, queued("second", 20, ticket=1), submitted("first", 10))
    assert desk.having == ["first"]
    assert desk.line("second") == [1]


def test_who_had_just_come_when_the_daemon_died_waits_behind_who_was_told_a_ticket() -> None:
    states = (submitted("late", 30), queued("early", 20, ticket=1), launched("first", 10))
    desk = Desk(1, *states)
    assert desk.having == ["first"]
    assert desk.line("early", "late") == [1, 2]


def test_who_had_just_come_does_not_overtake_who_waits_for_the_slot_that_is_free() -> None:
    desk = Desk(1, submitted("late", 30), queued("early", 20, ticket=1))
    assert desk.having == ["early"]
    assert desk.line("late") == [1]


def test_the_ticket_of_an_earlier_wait_is_used_up() -> None:
    waited = queued("again", 5, ticket=1)
    crashed = ev.VmFailed(1, ev.Outcome.QEMU_CRASHED, "QEMU crashed")
    again = fold(waited, [intent(waited), crashed, ev.StartOrdered(2)], 40)
    desk = Desk(1, again, queued("early", 20, ticket=2), launched("first", 10))
    assert desk.line("early", "again") == [1, 2]


def test_tickets_count_and_not_the_order_in_which_vms_are_read() -> None:
    desk = Desk(1, *(queued(f"vm-{ticket}", ticket, ticket) for ticket in (9, 7, 8, 6)))
    assert desk.having == ["vm-6"]
    assert desk.line("vm-7", "vm-8", "vm-9") == [1, 2, 3]


def test_a_ticket_is_higher_than_any_that_the_log_tells() -> None:
    desk = Desk(1, launched("first", 10), queued("second", 20, ticket=41))
    desk.slots.follow(submitted("third", 30))
    assert desk.slots.enter("third", None) == 42


def test_with_fewer_slots_than_launches_live_all_live_on_and_nobody_else_begins() -> None:
    live = [launched(f"vm-{number}", number) for number in range(3)]
    desk = Desk(1, *live, queued("next", 20, ticket=1))
    assert desk.having == ["vm-0", "vm-1", "vm-2"]
    failed = ev.VmFailed(1, ev.Outcome.QEMU_CRASHED, "signal 11")
    for state in live[:2]:
        assert desk.slots.follow(fold(state, [failed], 30)) == []
    assert desk.slots.follow(fold(live[2], [failed], 30)) == ["next"]


def test_with_fewer_slots_who_had_not_launched_yet_waits_in_the_order_of_coming() -> None:
    desk = Desk(1, submitted("second", 20), submitted("first", 10))
    assert desk.having == ["first"]
    assert desk.line("second") == [1]


def test_a_vm_that_was_stopped_before_it_could_ask_takes_no_slot() -> None:
    desk = Desk(1, submitted("gone", 10))
    stopped = ev.VmStopped(0, ev.Outcome.STOPPED_BY_CLIENT, "enough")
    desk.slots.follow(fold(submitted("gone", 10), [stopped], 20))
    assert desk.slots.enter("gone", None) is None
    assert desk.having == []


def test_a_place_that_is_given_up_moves_the_others_forward() -> None:
    line = Line()
    for ticket, vm_id in enumerate("abcd", 1):
        line.join(Place(ticket, vm_id))
    assert line.leave("b") is True
    assert line.leave("b") is False
    assert [line.position(vm_id) for vm_id in "abcd"] == [1, None, 2, 3]
    assert [line.pop() for _ in range(len(line))] == ["a", "c", "d"]
