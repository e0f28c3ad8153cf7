"""A VM's life as the actor leads it: decide, write to the log, fold; and now and then a restart."""

import msgspec

from eventlog import Record
from supervisor.cause import Cause
from supervisor.journal import encode, vm_stream
from supervisor.replay import evolved
from supervisor.vm.awaiting import inputs_awaited
from supervisor.vm.commands import Command, CommandDenied
from supervisor.vm.decide import decide
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.effects import Effect
from supervisor.vm.events import ComputationSubmitted, Event
from supervisor.vm.evolve import evolve
from supervisor.vm.observations import Observation
from supervisor.vm.recover import recover
from supervisor.vm.spec import Manifest
from supervisor.vm.state import VmState
from tests.vm.states import MANIFEST, NOW, SHA256, defined


class Restart(msgspec.Struct, frozen=True):
    """The daemon is killed and started again."""


Happening = Command | Observation | Restart


class Step(msgspec.Struct, frozen=True):
    """One thing that happened, and what followed from it."""

    before: VmState
    happening: Happening
    decision: Decision
    after: VmState


class Life:
    """Everything that happened to one VM, and the log that it left."""

    def __init__(self, manifest: Manifest = MANIFEST) -> None:
        self.state = defined(manifest)
        self.now_ms = NOW
        self.steps: list[Step] = []
        self.records: list[Record] = []
        self.effects: list[Effect] = []
        self._write(ComputationSubmitted(manifest, SHA256))
        if awaited := inputs_awaited(manifest, (), NOW):
            self._write(awaited)
        self._take(Step(self.state, Restart(), Decision(effects=recover(self.state)), self.state))

    def meet(self, happening: Happening) -> Decision:
        """Let something happen; return what is to be done about it."""
        before = self.state
        if isinstance(happening, Restart):
            self.state = self.replayed()
            decision = Decision(effects=recover(self.state))
        else:
            decision = self._decide(happening)
            for event in decision.events:
                self.state = evolve(self.state, event, self.now_ms)
                self._write(event)
        self._take(Step(before, happening, decision, self.state))
        return decision

    def replayed(self) -> VmState:
        """Return what the log alone says."""
        state: VmState | None = None
        for record in self.records:
            state = evolved(state, record)
        assert state is not None
        return state

    def _decide(self, message: Command | Observation) -> Decision:
        try:
            return decide(self.state, message, self.now_ms)
        except CommandDenied:
            assert isinstance(message, Command), f"{message} was denied"
            return NOTHING

    def _take(self, step: Step) -> None:
        self.steps.append(step)
        self.effects.extend(step.decision.effects)

    def _write(self, event: Event) -> None:
        new = encode(event, vm_stream(self.state.vm_id), self.state.tenant, Cause("", ""))
        self.records.append(
            Record(
                position=len(self.records) + 1,
                stream=new.stream,
                version=len(self.records) + 1,
                type=new.type,
                event_id=new.event_id,
                recorded_at=self.now_ms * 1_000_000,
                epoch=1,
                causation_id="",
                correlation_id="",
                traceparent="",
                tenant=new.tenant,
                principal=self.state.principal,
                ext={},
                payload=new.payload,
            )
        )
